/** A small model server with OpenAI's chat call: answers in the words of the question, streaming or whole, and says when a client leaves. */

export interface ModelServer {
  port: number;
  /** Bodies of the chat calls so far. */
  asked: Record<string, unknown>[];
  /** Header names that the server saw, lower case, of all requests. */
  seenHeaders: Set<string>;
  /** Streams that are being written. */
  streaming: () => number;
  /** Streams whose clients left before the end. */
  abandoned: () => number;
  /** What `/health` answers. */
  health: number;
  stop(): Promise<void>;
}

/** Streams one word at a time; `pace` is awaited before each. */
export function startModelServer(pace: () => Promise<void> = () => Promise.resolve()): ModelServer {
  const asked: ModelServer["asked"] = [];
  const seenHeaders = new Set<string>();
  let streaming = 0;
  let abandoned = 0;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(request) {
      for (const name of request.headers.keys()) seenHeaders.add(name);
      const { pathname } = new URL(request.url);
      if (pathname === "/health") return new Response(null, { status: model.health });
      if (pathname === "/v1/models") return Response.json({ object: "list", data: [{ id: "echo", object: "model" }] });
      if (pathname !== "/v1/chat/completions" || request.method !== "POST")
        return Response.json({ error: { message: `no such path ${pathname}`, type: "invalid_request_error" } }, { status: 404 }); // prettier-ignore
      const body = (await request.json()) as Question;
      asked.push(body);
      const words = (body.messages.at(-1)?.content ?? "").split(" ");
      return body.stream === true ? stream(words) : Response.json(whole(words.join(" ")));
    },
  });

  function stream(words: string[]): Response {
    streaming++;
    let at = 0;
    const body = new ReadableStream<string>({
      async pull(controller) {
        await pace();
        const word = words[at++];
        if (word !== undefined) return controller.enqueue(event(part({ content: at === 1 ? word : ` ${word}` }, null)));
        controller.enqueue(`${event(part({}, "stop"))}data: [DONE]\n\n`);
        controller.close();
        streaming--;
      },
      cancel() {
        streaming--;
        abandoned++;
      },
    });
    return new Response(body, { headers: { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" } });
  }

  const model: ModelServer = {
    port: server.port ?? 0,
    asked,
    seenHeaders,
    streaming: () => streaming,
    abandoned: () => abandoned,
    health: 200,
    stop: () => server.stop(true),
  };
  return model;
}

// --- internal ---

interface Question {
  messages: { role: string; content: string }[];
  stream?: boolean;
  [key: string]: unknown;
}

const ABOUT = { id: "chatcmpl-1", created: 1_800_000_000, model: "echo" };

function whole(content: string): object {
  const choice = { index: 0, message: { role: "assistant", content }, finish_reason: "stop" };
  const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
  return { ...ABOUT, object: "chat.completion", choices: [choice], usage };
}

function part(delta: object, finish: string | null): object {
  return { ...ABOUT, object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason: finish }] };
}

function event(value: object): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}
