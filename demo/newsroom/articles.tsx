/** The articles that are read now, the most read first. One that changes its place glides there. */
import { memo } from 'preact/compat';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { count, printable } from '../../console/ui/words.ts';
import { Bars } from './bars.tsx';
import type { Article } from './picture.ts';

const GLIDE_MS = 450;

export function Articles({
  articles,
  isLive,
}: {
  readonly articles: readonly Article[];
  readonly isLive: boolean;
}) {
  const list = useGliding(articles.map(({ key }) => key).join());
  return (
    <section class="ranking" aria-labelledby="ranking">
      <h2 id="ranking">Most read, last 5 minutes</h2>
      <ol ref={list} class="articles">
        {articles.map((article, at) => (
          <Row key={article.key} article={article} rank={at + 1} isLive={isLive} />
        ))}
      </ol>
    </section>
  );
}

interface RowProps {
  readonly article: Article;
  readonly rank: number;
  readonly isLive: boolean;
}

const Row = memo(function Row({ article, rank, isLive }: RowProps) {
  const { id, headline, section, views, engagedMs, minutes, isBreaking } = article;
  return (
    <li class={isBreaking ? 'article breaking' : 'article'} data-key={article.key}>
      <span class="rank" aria-hidden="true">
        {rank}
      </span>
      <div class="what">
        <h3 title={printable(id)}>
          <bdi>{printable(headline)}</bdi>
        </h3>
        <p class="meta">
          {isBreaking && (
            <strong class="flag">
              <span aria-hidden="true">▲</span> Breaking
            </strong>
          )}
          <bdi class="section">{printable(section)}</bdi>
          {engagedMs !== null && <span>{Math.max(1, Math.round(engagedMs / 1_000))} s engaged</span>}
          <bdi class="path">{printable(id)}</bdi>
        </p>
      </div>
      <Bars
        values={minutes}
        isOpen={isLive}
        label={`Views a minute in the last hour, ${count(Math.max(...minutes))} at most`}
      />
      <p class="views">
        {count(views)} <span class="hidden-text">views</span>
      </p>
    </li>
  );
}, isSameRow);

/** The clock ticks without news, and most news are of a few articles. */
function isSameRow(a: RowProps, b: RowProps): boolean {
  if (a.rank !== b.rank || a.isLive !== b.isLive) return false;
  const [{ minutes, ...others }, { minutes: itsMinutes, ...itsOthers }] = [a.article, b.article];
  return (
    a.article === b.article ||
    (Object.entries(others).every(([name, value]) => itsOthers[name as keyof typeof itsOthers] === value) &&
      minutes.every((value, at) => value === itsMinutes[at]))
  );
}

/** Moves each child from where it stood before `order` changed to where it stands now. */
function useGliding(order: string) {
  const list = useRef<HTMLOListElement>(null);
  const before = useRef<{ order: string; at: Map<string, Place> }>({ order: '', at: new Map() });
  // Read while the list is as it was: children have no new places before the effect.
  if (list.current && before.current.order !== order) before.current.at = placesIn(list.current);
  useLayoutEffect(() => {
    const { at, order: old } = before.current;
    if (old === order) return;
    before.current.order = order;
    if (old === '' || matchMedia('(prefers-reduced-motion: reduce)').matches) return;
    for (const [key, { element, ...now }] of placesIn(list.current!)) {
      const was = at.get(key);
      const options = { duration: GLIDE_MS, easing: 'cubic-bezier(0.2, 0, 0, 1)' };
      if (!was) element.animate([{ opacity: 0 }, { opacity: 1 }], options);
      else if (was.x !== now.x || was.y !== now.y) {
        // Rows hide what is under them on their way, so that no two texts are ever read as one; what rises is in front.
        const zIndex = was.x > now.x || (was.x === now.x && was.y > now.y) ? 2 : 1;
        const from = `translate(${was.x - now.x}px, ${was.y - now.y}px)`;
        element.animate(
          [
            { transform: from, zIndex },
            { transform: 'none', zIndex },
          ],
          options,
        );
      }
    }
    before.current.at = new Map();
  }, [order]);
  return list;
}

interface Place {
  readonly element: HTMLElement;
  readonly x: number;
  readonly y: number;
}

function placesIn(list: HTMLOListElement): Map<string, Place> {
  return new Map(
    ([...list.children] as HTMLElement[]).map((element) => {
      const { x, y } = element.getBoundingClientRect();
      return [element.dataset.key!, { element, x, y }];
    }),
  );
}
