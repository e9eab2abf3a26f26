/**
 * Every word that our pages say, in every language. For people who have never heard of a circuit, a worker or a permit:
 * what happened, and what to do. What has no text in one of the languages does not compile.
 */
import type { PageKind } from "../failure.ts";
import type { Language } from "./language.ts";

export interface Text {
  title: string;
  /** What happened. */
  what: string;
  /** How long it has been so, where that is known; `{time}` is filled in. */
  known?: string;
  /** What to do. */
  todo: string;
}

export interface Words {
  pages: Record<PageKind, Text>;
  /** Buttons and links. */
  openAgain: string;
  tryAgain: string;
  openTab: string;
  /** In the place of a link, when nobody has said where the platform is. */
  goBack: string;
  /** Of a page that does so. */
  reloads: string;
  /** Of the page that is seen for a moment on the way in. */
  opening: string;
  goOn: string;
  /** Of the page that says whose address may connect to an app that is no web page. */
  letIn: {
    title: string;
    what: string;
    from: string;
    /** `{address}` and `{time}` are filled in, here and by the page's script. */
    item: string;
    everybody: string;
    /** What a link is for that lets in the person's other address. */
    other: string;
    letOther: string;
  };
  app: string;
  errorId: string;
  units: Record<"second" | "minute" | "hour", readonly [one: string, many: string]>;
}

const en: Words = {
  pages: {
    starting: {
      title: "The app is starting",
      what: "It is not ready yet.",
      known: "It has been starting for {time}.",
      todo: "Leave this page open. Most apps are ready in less than a minute.",
    },
    refused: {
      title: "The app does not answer",
      what: "It refuses connections: it has probably stopped, or is just being restarted.",
      known: "It has not answered for {time}.",
      todo: "If it stays like this, open the app again, or see in Backend.AI whether its session is still running.",
    },
    "bad-address": {
      title: "The app is somewhere where apps can't be",
      what: "The platform has named an address for it that this service may not connect to.",
      todo: "Tell your administrator: the log of the app proxy says which address it is, and why.",
    },
    "broken-off": {
      title: "The app broke off",
      what: "It closed the connection in the middle of its answer. It may have crashed, or is just being restarted.",
      known: "It has not answered for {time}.",
      todo: "If it stays like this, open the app again, or see in Backend.AI whether its session is still running.",
    },
    "timed-out": {
      title: "The app can't be reached",
      what: "It took no connection within ten seconds. The machine that it runs on may be busy or cut off.",
      known: "It has not answered for {time}.",
      todo: "If it stays like this, see in Backend.AI whether the app's session is still running.",
    },
    moved: {
      title: "The app has just moved",
      what: "It was restarted or went to another machine while you were waiting for its answer.",
      todo: "It should be there again in a moment.",
    },
    "no-kernel": {
      title: "The app is not running",
      what: "No session runs this app at the moment.",
      known: "It has been so for {time}.",
      todo: "If it stays like this, see in Backend.AI how its session is.",
    },
    "no-permit": {
      title: "Please open this app from Backend.AI",
      what: "This browser has not been let in yet, or the app was not used for a long time. Its address alone does not open it.",
      todo: "Open the app again to be let in.",
    },
    framed: {
      title: "This app needs a tab of its own",
      what: "Your browser does not let an app use cookies inside a page of another site, so it can't see that you may use it.",
      todo: "Open it in a new tab; it works there as usual.",
    },
    "link-used": {
      title: "This link was used already",
      what: "A link to an app lets you in once, in the browser that opened it first.",
      todo: "Open the app again to get a new link.",
    },
    "link-expired": {
      title: "This link has expired",
      what: "A link to an app is good for a short time only.",
      todo: "Open the app again to get a new link.",
    },
    "bad-link": {
      title: "This link is incomplete",
      what: "A part of it is missing or was changed on its way to you.",
      todo: "If you copied it, make sure that you have all of it. Otherwise open the app again.",
    },
    "other-session": {
      title: "This link is for another session",
      what: "The session that it names is not the one that it was made for.",
      todo: "Open the app again from the session that you want.",
    },
    "session-over": {
      title: "The session has ended",
      what: "The session in which this app ran is over.",
      todo: "Start a new session in Backend.AI and open the app there.",
    },
    ended: {
      title: "There is no app here any more",
      what: "The app was closed, its session has ended, or the address has a typing mistake.",
      todo: "Open the app again. If its session has ended, start a new one first.",
    },
    "other-site": {
      title: "This came from another site",
      what: "To protect you, what pages of other sites send is not passed on to the app.",
      todo: "Go to the app's own page and do it there.",
    },
    address: {
      title: "Not from this network",
      what: "This app may be used only from certain network addresses, and yours is not one of them.",
      todo: "Connect to the right network, such as your office's or a VPN, or ask whoever opened the app to allow your address.",
    },
    forbidden: {
      title: "This is not allowed",
      what: "You may not do this here.",
      todo: "If you think that you should, ask your administrator.",
    },
    "service-token": {
      title: "This is a model service for programs",
      what: "Programs use it with an access token. This request has none, or one that is not valid here.",
      todo: "Get a token in Backend.AI and send it as the header “Authorization: Bearer …”.",
    },
    "not-for-browsers": {
      title: "This can't be opened in a browser",
      what: "It is made for another kind of program.",
      todo: "See in Backend.AI how to connect to it.",
    },
    "port-taken": {
      title: "The port is taken",
      what: "The port that was asked for belongs to another app, or can't be given out here.",
      todo: "Open the app again with another port, or without naming one.",
    },
    "no-worker": {
      title: "No room for this app right now",
      what: "Every place that could show it is taken or out of service.",
      todo: "Close apps that you do not need, and try again in some minutes. If it stays like this, tell your administrator.",
    },
    "not-responding": {
      title: "The app could not be opened",
      what: "A server that is needed for it did not respond in time.",
      todo: "Try again in a moment. If it happens again, tell your administrator the error id below.",
    },
    "too-large": {
      title: "That is too large",
      what: "More was sent than is taken here.",
      todo: "Send less at once.",
    },
    crowded: {
      title: "Too many connections",
      what: "This app, its session or its user, this server or your network has as many connections open as it may have.",
      todo: "Close tabs with apps that you do not need, and try again in a moment. If it stays like this, tell your administrator.",
    },
    "too-often": {
      title: "Opened too often",
      what: "You have opened apps thousands of times within a few minutes; perhaps a program does it for you.",
      todo: "Use a tab in which the app is open, or open it again in a quarter of an hour.",
    },
    "too-many-apps": {
      title: "Too many open apps",
      what: "You, or this session, have as many apps open as you may have.",
      todo: "Close apps that you do not need in Backend.AI, and try again. If you need more at once, ask your administrator.",
    },
    "bad-request": {
      title: "This request can't be understood",
      what: "Your browser, or something between it and us, has sent something that makes no sense here.",
      todo: "Open the app again. If it happens again, tell your administrator the error id below.",
    },
    "no-such-page": {
      title: "There is nothing at this address",
      what: "The address may have a typing mistake.",
      todo: "Open the app from Backend.AI.",
    },
    "wrong-method": {
      title: "This can't be done here",
      what: "This address does not take requests of this kind.",
      todo: "Open the app from Backend.AI.",
    },
    internal: {
      title: "Something went wrong",
      what: "It is our fault, not yours.",
      todo: "Try again in a moment. If it happens again, tell your administrator the error id below.",
    },
  },
  openAgain: "Open the app again",
  tryAgain: "Try again",
  openTab: "Open the app in a new tab",
  goBack: "Go back to the page where you opened the app.",
  reloads: "This page loads itself again; you need not do anything.",
  opening: "Opening the app…",
  goOn: "Go on",
  letIn: {
    title: "You can connect now",
    what: "This app is used with a program of its own, such as SSH. Connect it to:",
    from: "You can connect from:",
    item: "{address}, until {time}",
    everybody: "You can connect from everywhere.",
    other:
      "Your computer may have two addresses, one of IPv4 and one of IPv6. If your program cannot connect, let in the other one as well.",
    letOther: "Let in my other address",
  },
  app: "App",
  errorId: "Error id",
  units: { second: ["second", "seconds"], minute: ["minute", "minutes"], hour: ["hour", "hours"] },
};

const ko: Words = {
  pages: {
    starting: {
      title: "앱을 시작하고 있습니다",
      what: "아직 사용할 준비가 되지 않았습니다.",
      known: "시작한 지 {time} 되었습니다.",
      todo: "이 화면을 그대로 두세요. 대부분 1분 안에 준비됩니다.",
    },
    refused: {
      title: "앱이 응답하지 않습니다",
      what: "앱이 연결을 받지 않습니다. 앱이 종료되었거나 다시 시작되는 중일 수 있습니다.",
      known: "{time} 동안 응답이 없습니다.",
      todo: "계속 이 상태라면 앱을 다시 열거나, Backend.AI에서 세션이 실행 중인지 확인해 주세요.",
    },
    "bad-address": {
      title: "앱을 연결할 수 없는 주소입니다",
      what: "플랫폼이 알려 준 앱의 주소는 이 서비스가 연결할 수 없도록 되어 있습니다.",
      todo: "관리자에게 알려 주세요. 어떤 주소인지, 왜 연결할 수 없는지는 앱 프록시의 로그에 있습니다.",
    },
    "broken-off": {
      title: "앱이 연결을 끊었습니다",
      what: "앱이 응답하던 도중에 연결을 끊었습니다. 앱에 오류가 생겼거나 다시 시작되는 중일 수 있습니다.",
      known: "{time} 동안 응답이 없습니다.",
      todo: "계속 이 상태라면 앱을 다시 열거나, Backend.AI에서 세션이 실행 중인지 확인해 주세요.",
    },
    "timed-out": {
      title: "앱에 연결할 수 없습니다",
      what: "10초 안에 연결되지 않았습니다. 앱이 실행되는 서버가 바쁘거나 네트워크가 끊겼을 수 있습니다.",
      known: "{time} 동안 응답이 없습니다.",
      todo: "계속 이 상태라면 Backend.AI에서 앱의 세션이 실행 중인지 확인해 주세요.",
    },
    moved: {
      title: "앱이 다른 곳으로 옮겨졌습니다",
      what: "응답을 기다리는 동안 앱이 다시 시작되었거나 다른 서버로 옮겨졌습니다.",
      todo: "잠시 후 다시 열립니다.",
    },
    "no-kernel": {
      title: "앱이 실행되고 있지 않습니다",
      what: "지금은 이 앱을 실행하는 세션이 없습니다.",
      known: "이 상태가 {time} 동안 이어지고 있습니다.",
      todo: "계속 이 상태라면 Backend.AI에서 세션 상태를 확인해 주세요.",
    },
    "no-permit": {
      title: "Backend.AI에서 앱을 열어 주세요",
      what: "이 브라우저에서 아직 앱을 열지 않았거나, 오랫동안 사용하지 않아 이용 시간이 끝났습니다. 주소만으로는 앱에 들어갈 수 없습니다.",
      todo: "앱을 다시 열면 들어갈 수 있습니다.",
    },
    framed: {
      title: "새 탭에서 열어야 하는 앱입니다",
      what: "다른 사이트의 화면 안에서는 브라우저가 앱의 쿠키를 막기 때문에, 이용 권한을 확인할 수 없습니다.",
      todo: "새 탭에서 열면 평소처럼 사용할 수 있습니다.",
    },
    "link-used": {
      title: "이미 사용한 링크입니다",
      what: "앱을 여는 링크는 처음 연 브라우저에서 한 번만 사용할 수 있습니다.",
      todo: "앱을 다시 열면 새 링크를 받을 수 있습니다.",
    },
    "link-expired": {
      title: "링크가 만료되었습니다",
      what: "앱을 여는 링크는 짧은 시간 동안만 유효합니다.",
      todo: "앱을 다시 열면 새 링크를 받을 수 있습니다.",
    },
    "bad-link": {
      title: "링크가 올바르지 않습니다",
      what: "링크의 일부가 빠졌거나 전달되는 과정에서 바뀌었습니다.",
      todo: "링크를 복사했다면 전체가 복사되었는지 확인해 주세요. 그렇지 않다면 앱을 다시 열어 주세요.",
    },
    "other-session": {
      title: "다른 세션의 링크입니다",
      what: "링크에 적힌 세션이 이 링크를 발급받은 세션과 다릅니다.",
      todo: "사용하려는 세션에서 앱을 다시 열어 주세요.",
    },
    "session-over": {
      title: "세션이 종료되었습니다",
      what: "이 앱을 실행하던 세션이 끝났습니다.",
      todo: "Backend.AI에서 새 세션을 시작한 뒤 앱을 열어 주세요.",
    },
    ended: {
      title: "이 주소에는 더 이상 앱이 없습니다",
      what: "앱이 닫혔거나 세션이 종료되었습니다. 주소를 잘못 입력했을 수도 있습니다.",
      todo: "앱을 다시 열어 주세요. 세션이 종료되었다면 새 세션을 먼저 시작해 주세요.",
    },
    "other-site": {
      title: "다른 사이트에서 보낸 요청입니다",
      what: "안전을 위해 다른 사이트의 화면에서 보낸 요청은 앱에 전달하지 않습니다.",
      todo: "앱 화면으로 직접 이동해 다시 시도해 주세요.",
    },
    address: {
      title: "이 네트워크에서는 사용할 수 없습니다",
      what: "이 앱은 허용된 네트워크 주소에서만 사용할 수 있으며, 현재 주소는 허용되지 않았습니다.",
      todo: "사내망이나 VPN 등 허용된 네트워크에 연결하거나, 앱을 연 사람에게 현재 주소를 허용해 달라고 요청해 주세요.",
    },
    forbidden: {
      title: "허용되지 않은 작업입니다",
      what: "이 작업을 할 권한이 없습니다.",
      todo: "권한이 필요하다면 관리자에게 문의해 주세요.",
    },
    "service-token": {
      title: "프로그램에서 사용하는 모델 서비스입니다",
      what: "액세스 토큰이 있어야 사용할 수 있습니다. 요청에 토큰이 없거나, 이 서비스에서 유효하지 않은 토큰입니다.",
      todo: "Backend.AI에서 토큰을 발급받아 “Authorization: Bearer …” 헤더로 보내 주세요.",
    },
    "not-for-browsers": {
      title: "브라우저에서는 열 수 없습니다",
      what: "다른 종류의 프로그램으로 연결해야 합니다.",
      todo: "연결 방법은 Backend.AI에서 확인해 주세요.",
    },
    "port-taken": {
      title: "이미 사용 중인 포트입니다",
      what: "요청한 포트를 다른 앱이 사용하고 있거나, 여기에서 배정할 수 없는 포트입니다.",
      todo: "다른 포트를 지정하거나, 포트를 지정하지 않고 앱을 다시 열어 주세요.",
    },
    "no-worker": {
      title: "지금은 앱을 열 자리가 없습니다",
      what: "앱을 보여 줄 수 있는 자리가 모두 사용 중이거나 점검 중입니다.",
      todo: "사용하지 않는 앱을 닫고 몇 분 뒤에 다시 시도해 주세요. 계속 이 상태라면 관리자에게 알려 주세요.",
    },
    "not-responding": {
      title: "앱을 열지 못했습니다",
      what: "앱을 여는 데 필요한 서버가 제때 응답하지 않았습니다.",
      todo: "잠시 후 다시 시도해 주세요. 같은 일이 반복되면 아래 오류 ID를 관리자에게 알려 주세요.",
    },
    "too-large": {
      title: "보낸 내용이 너무 큽니다",
      what: "받을 수 있는 크기를 넘었습니다.",
      todo: "나누어 보내 주세요.",
    },
    crowded: {
      title: "연결이 너무 많습니다",
      what: "이 앱이나 앱의 세션 또는 사용자, 서버, 사용 중인 네트워크에서 열 수 있는 연결을 모두 쓰고 있습니다.",
      todo: "필요 없는 앱 탭을 닫고 잠시 후 다시 시도해 주세요. 계속 이 상태라면 관리자에게 알려 주세요.",
    },
    "too-often": {
      title: "앱을 너무 자주 열었습니다",
      what: "몇 분 사이에 앱을 수천 번 열었습니다. 프로그램이 대신 열고 있을 수 있습니다.",
      todo: "앱이 이미 열려 있는 탭을 사용하거나 15분 뒤에 다시 열어 주세요.",
    },
    "too-many-apps": {
      title: "열린 앱이 너무 많습니다",
      what: "사용자 또는 이 세션이 동시에 열 수 있는 앱을 모두 열어 두었습니다.",
      todo: "Backend.AI에서 필요 없는 앱을 닫고 다시 시도해 주세요. 더 많은 앱을 동시에 열어야 한다면 관리자에게 문의해 주세요.",
    },
    "bad-request": {
      title: "요청을 이해할 수 없습니다",
      what: "브라우저나 중간의 다른 장치가 올바르지 않은 요청을 보냈습니다.",
      todo: "앱을 다시 열어 주세요. 같은 일이 반복되면 아래 오류 ID를 관리자에게 알려 주세요.",
    },
    "no-such-page": {
      title: "이 주소에는 아무것도 없습니다",
      what: "주소를 잘못 입력했을 수 있습니다.",
      todo: "Backend.AI에서 앱을 열어 주세요.",
    },
    "wrong-method": {
      title: "여기에서는 할 수 없는 작업입니다",
      what: "이 주소는 이런 종류의 요청을 받지 않습니다.",
      todo: "Backend.AI에서 앱을 열어 주세요.",
    },
    internal: {
      title: "문제가 발생했습니다",
      what: "서버에서 오류가 발생했습니다. 사용자의 잘못이 아닙니다.",
      todo: "잠시 후 다시 시도해 주세요. 같은 일이 반복되면 아래 오류 ID를 관리자에게 알려 주세요.",
    },
  },
  openAgain: "앱 다시 열기",
  tryAgain: "다시 시도",
  openTab: "새 탭에서 앱 열기",
  goBack: "앱을 열었던 화면으로 돌아가 주세요.",
  reloads: "이 화면은 자동으로 새로 고쳐집니다.",
  opening: "앱을 여는 중입니다…",
  goOn: "계속",
  letIn: {
    title: "이제 연결할 수 있습니다",
    what: "SSH처럼 별도의 프로그램으로 사용하는 앱입니다. 프로그램에서 다음 주소로 연결해 주세요.",
    from: "다음 주소에서 연결할 수 있습니다.",
    item: "{address}, {time}까지",
    everybody: "어디에서나 연결할 수 있습니다.",
    other:
      "컴퓨터에는 IPv4 주소와 IPv6 주소가 따로 있을 수 있습니다. 프로그램이 연결되지 않으면 다른 주소도 허용해 주세요.",
    letOther: "다른 주소도 허용하기",
  },
  app: "앱",
  errorId: "오류 ID",
  units: { second: ["초", "초"], minute: ["분", "분"], hour: ["시간", "시간"] },
};

export const WORDS: Record<Language, Words> = { en, ko };

/** A time that people can use: "12 seconds", "3 minutes", "2시간". */
export function timeText(seconds: number, language: Language): string {
  const [count, unit] =
    seconds < 90
      ? [Math.max(1, Math.round(seconds)), "second" as const]
      : seconds < 5400
        ? [Math.round(seconds / 60), "minute" as const]
        : [Math.round(seconds / 3600), "hour" as const];
  const [one, many] = WORDS[language].units[unit];
  return `${count}${language === "ko" ? "" : " "}${count === 1 ? one : many}`;
}
