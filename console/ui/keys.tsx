/** What the keyboard does on every page. */
import { useEffect, useState } from 'preact/hooks';
import { Dialog } from './parts.tsx';
import { go } from './place.ts';
import { remember, remembered } from './theme.ts';

const PAGES: Readonly<Record<string, readonly [path: string, title: string]>> = {
  n: ['/', 'Now'],
  f: ['/failures', 'Failures'],
  p: ['/parked', 'Parked keys'],
  r: ['/redrives', 'Redrives'],
  a: ['/audit', 'Audit log'],
};
const OFF = 'millrace-keys-off';
/** The second key of a pair comes within this time. */
const PAIR_MS = 1_500;

/** @param isShown whether the dialog with the keys is open */
export function Keys({ isShown, show }: { readonly isShown: boolean; show(isShown: boolean): void }) {
  const [isOn, setOn] = useState(() => remembered(OFF) === null);
  useEffect(() => {
    if (!isOn) return;
    let pairUntil = 0;
    const pressed = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target))
        return;
      const second = event.timeStamp < pairUntil ? PAGES[event.key] : undefined;
      pairUntil = 0;
      if (second) go(second[0]);
      else if (event.key === 'g') pairUntil = event.timeStamp + PAIR_MS;
      else if (event.key === '/') document.getElementById('find-key')?.focus();
      else if (event.key === '?') show(true);
      else if (event.key === 'j') step(1);
      else if (event.key === 'k') step(-1);
      else return;
      event.preventDefault();
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, [isOn]);
  return (
    <Dialog isOpen={isShown} title="Keys" onClose={() => show(false)}>
      <dl class="keys">
        {Object.entries(PAGES).map(([key, [, title]]) => (
          <Key key={key} keys={['g', key]} does={title} />
        ))}
        <Key keys={['/']} does="Find a key" />
        <Key keys={['j']} does="Next row of a list" />
        <Key keys={['k']} does="Row before" />
        <Key keys={['Enter']} does="Open the row" />
        <Key keys={['?']} does="These keys" />
      </dl>
      <label>
        <input
          type="checkbox"
          checked={isOn}
          onChange={({ currentTarget }) => {
            setOn(currentTarget.checked);
            remember(OFF, currentTarget.checked ? null : 'off');
          }}
        />{' '}
        Use these keys
      </label>
    </Dialog>
  );
}

function Key({ keys, does }: { readonly keys: readonly string[]; readonly does: string }) {
  return (
    <>
      <dt>
        {keys.map((key) => (
          <kbd key={key}>{key}</kbd>
        ))}
      </dt>
      <dd>{does}</dd>
    </>
  );
}

/** A letter typed into a field, or while a dialog asks for something, is no command. */
function isTyping(target: EventTarget | null): boolean {
  return (
    document.querySelector('dialog[open]') !== null ||
    (target instanceof Element && target.closest('input, select, textarea, [contenteditable]') !== null)
  );
}

/** Rows are what has `data-row`: a list's link in each of its rows. */
function step(by: 1 | -1): void {
  const rows = [...document.querySelectorAll<HTMLElement>('main [data-row]')];
  const at = rows.indexOf(document.activeElement as HTMLElement);
  const next = at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by;
  rows[Math.min(Math.max(next, 0), rows.length - 1)]?.focus();
}
