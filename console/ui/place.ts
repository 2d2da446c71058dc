/** The page's place is its URL: what it shows, it takes from there, so that back, forward and a copied link work. */
import { useEffect, useState } from 'preact/hooks';

export interface Location {
  readonly path: string;
  readonly query: URLSearchParams;
}

const CHANGED = 'millrace:place';
let moved = false;
addEventListener('popstate', () => {
  moved = true;
});

/** Whether this page was reached from another one of the console, not by loading it. */
export function hasMoved(): boolean {
  return moved;
}

function current(): Location {
  return { path: location.pathname, query: new URLSearchParams(location.search) };
}

export function useLocation(): Location {
  const [place, setPlace] = useState(current);
  useEffect(() => {
    const update = () => setPlace(current());
    addEventListener('popstate', update);
    addEventListener(CHANGED, update);
    return () => {
      removeEventListener('popstate', update);
      removeEventListener(CHANGED, update);
    };
  }, []);
  return place;
}

/** @param isSame the page is the same with another filter, so that back leaves it */
export function go(to: string, isSame = false): void {
  if (isSame) history.replaceState(null, '', to);
  else {
    moved = true;
    history.pushState(null, '', to);
    scrollTo(0, 0);
  }
  dispatchEvent(new Event(CHANGED));
}

/** Has links within the console change the page without loading it again. */
export function followLinks(): void {
  addEventListener('click', (event) => {
    if (
      event.defaultPrevented ||
      event.button !== 0 ||
      event.metaKey ||
      event.ctrlKey ||
      event.shiftKey ||
      event.altKey
    )
      return;
    const link = (event.target as Element).closest('a');
    if (!link || link.target || link.origin !== location.origin || link.hash) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}
