/** The page's place is its URL: what it shows, it takes from there, so that back, forward and a copied link work. */
import { useEffect, useState } from 'preact/hooks';

export interface Location {
  readonly path: string;
  readonly query: URLSearchParams;
  /** Another one each time that somebody came here, also by asking for the same again. */
  readonly visit: number;
}

const CHANGED = 'millrace:place';
let moved = false;
let visit = 0;
addEventListener('popstate', () => {
  moved = true;
  visit++;
});

/** Whether this page was reached from another one of the console, not by loading it. */
export function hasMoved(): boolean {
  return moved;
}

function current(): Location {
  return { path: location.pathname, query: new URLSearchParams(location.search), visit };
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
    visit++;
    // As browsers do: back leads to another place.
    if (to === location.pathname + location.search) history.replaceState(null, '', to);
    else history.pushState(null, '', to);
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
