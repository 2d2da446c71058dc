/** Whether this is what a browser writes in `Origin` for a page: https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin (2026-11-25) */
export function isOrigin(text: string): boolean {
  return /^https?:/.test(text) && URL.canParse(text) && new URL(text).origin === text;
}
