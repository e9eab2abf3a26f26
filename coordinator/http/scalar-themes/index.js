// The only name that @elysiajs/swagger takes from it.
export const elysiajsTheme = "";
