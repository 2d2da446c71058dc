/** Which theme is shown: the system's, or the one chosen here. `/assets/theme.js` sets it before the first paint. */
import { useEffect, useState } from 'preact/hooks';

export type Theme = 'system' | 'light' | 'dark';

const THEMES: readonly Theme[] = ['system', 'light', 'dark'];
const CHANGED = 'millrace:theme';

function chosen(): Theme {
  const { theme } = document.documentElement.dataset;
  return theme === 'light' || theme === 'dark' ? theme : 'system';
}

function choose(theme: Theme): void {
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  remember('millrace-theme', theme === 'system' ? null : theme);
  dispatchEvent(new Event(CHANGED));
}

/** The theme, the one that a press brings, and that press. */
export function useTheme(): { readonly theme: Theme; readonly next: Theme; toNext(): void } {
  const [theme, setTheme] = useState(chosen);
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]!;
  return {
    theme,
    next,
    toNext() {
      choose(next);
      setTheme(next);
    },
  };
}

/** Counts up whenever colours change: what is drawn with them is then drawn again. */
export function useColours(): number {
  const [times, setTimes] = useState(0);
  useEffect(() => {
    const changed = () => setTimes((before) => before + 1);
    const system = matchMedia('(prefers-color-scheme: dark)');
    system.addEventListener('change', changed);
    addEventListener(CHANGED, changed);
    return () => {
      system.removeEventListener('change', changed);
      removeEventListener(CHANGED, changed);
    };
  }, []);
  return times;
}

/** A choice that outlives the page, where the browser keeps any. @param value null forgets it */
export function remember(name: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    // Storage is off: the choice lasts as long as the page.
  }
}

export function remembered(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}
