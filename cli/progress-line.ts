import { printNote } from './terminal.ts';

const REDRAW_MS = 100;
const LINE_MS = 3_000;

/** One line on stderr that changes in a terminal; elsewhere a line now and then. */
export function progressLine(): { show(text: string): void; end(): void } {
  const isLive = process.stderr.isTTY === true;
  let saidAt = performance.now();
  let isShown = false;
  return {
    show(text) {
      if (performance.now() - saidAt < (isLive ? REDRAW_MS : LINE_MS)) return;
      saidAt = performance.now();
      isShown = true;
      if (isLive) process.stderr.write(`\r\u001b[K${text.slice(0, 79)}`);
      else printNote(text);
    },
    end() {
      if (isLive && isShown) process.stderr.write('\r\u001b[K');
    },
  };
}
