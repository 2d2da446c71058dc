/** A consumer's lag, age and rates on one time axis, with what happened meanwhile. */
import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import type { ConsumerLook, Mark, Series } from '../operations.ts';
import { useColours } from './theme.ts';
import { brief, clockTime, duration, known, rate } from './words.ts';
import 'uplot/dist/uPlot.min.css';
import './time-chart.css';

type Values = Exclude<keyof Series, 'at'>;

interface Line {
  readonly of: Values;
  readonly name: string;
  readonly colour: string;
  readonly dash?: number[];
}

interface Pane {
  readonly title: string;
  readonly lines: readonly Line[];
  text(value: number | null): string;
  /** On the axis, where there is little room. */
  short(value: number): string;
}

const PANES: readonly Pane[] = [
  {
    title: 'Lag',
    lines: [{ of: 'lag', name: 'lag', colour: '--series-1' }],
    text: (value) => (value === null ? 'unknown' : known(value)),
    short: brief,
  },
  {
    title: 'Oldest unread',
    lines: [{ of: 'ageMs', name: 'oldest unread', colour: '--series-2' }],
    text: (value) => (value === null ? 'unknown' : duration(value)),
    short: (value) =>
      value < 10_000
        ? `${Number((value / 1_000).toFixed(1))} s`
        : duration(value).replace(/^(\S+ \S+) .*/, '$1'),
  },
  {
    title: 'Rate',
    lines: [
      { of: 'inPerSecond', name: 'in', colour: '--series-3' },
      { of: 'outPerSecond', name: 'out', colour: '--series-1', dash: [6, 4] },
    ],
    text: rate,
    short: brief,
  },
];

/** What happened is told apart by its number and its dashes, then by its colour. */
const MARKS: Readonly<Record<Mark['kind'], { readonly colour: string; readonly dash: number[] }>> = {
  deploy: { colour: '--ink', dash: [] },
  incident: { colour: '--bad', dash: [5, 3] },
  recovery: { colour: '--good', dash: [2, 3] },
  action: { colour: '--unknown', dash: [8, 3, 2, 3] },
};

/** An axis this short says its seconds. */
const SECONDS_BELOW_MS = 600_000;

interface ChartProps {
  readonly series: Series;
  readonly marks: readonly Mark[];
  readonly look: Pick<ConsumerLook, 'consumer' | 'warning' | 'incident'>;
}

export function TimeChart({ series, marks, look }: ChartProps) {
  const holders = useRef<HTMLDivElement>(null);
  const plots = useRef<readonly uPlot[]>([]);
  // What the drawing reads: it outlives the render that it was made in.
  const latest = useRef({ series, marks, look });
  latest.current = { series, marks, look };
  const [at, setAt] = useState<number | null>(null);
  const colours = useColours();
  const isDrawn = series.at.length > 1;

  useEffect(() => {
    if (!isDrawn) return;
    const frames = [...holders.current!.querySelectorAll<HTMLElement>('.plot')];
    const sync = uPlot.sync(`consumer-${look.consumer}`);
    const made = PANES.map(
      (pane, nth) => new uPlot(options(pane, nth, frames[nth]!), data(pane), frames[nth]),
    );
    for (const plot of made) sync.sub(plot);
    plots.current = made;
    const resized = new ResizeObserver(() => {
      for (const [nth, plot] of made.entries())
        plot.setSize({ width: frames[nth]!.clientWidth, height: frames[nth]!.clientHeight });
    });
    for (const frame of frames) resized.observe(frame);
    return () => {
      resized.disconnect();
      for (const plot of made) {
        sync.unsub(plot);
        plot.destroy();
      }
      plots.current = [];
    };
  }, [colours, isDrawn]);

  useEffect(() => {
    for (const [nth, plot] of plots.current.entries()) plot.setData(data(PANES[nth]!));
  }, [series]);

  const data = ({ lines }: Pane): uPlot.AlignedData => [
    [...latest.current.series.at],
    ...lines.map((line) => [...latest.current.series[line.of]]),
  ];

  const options = (pane: Pane, nth: number, frame: HTMLElement): uPlot.Options => {
    const colour = (name: string) => resolved(frame, name);
    const rem = Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
    const font = `${Math.round(rem * 0.78)}px ${getComputedStyle(frame).fontFamily}`;
    const axis: uPlot.Axis = {
      font,
      stroke: colour('--muted'),
      grid: { stroke: colour('--line'), width: 1 },
      ticks: { show: false },
    };
    const isLast = nth === PANES.length - 1;
    return {
      width: frame.clientWidth,
      height: frame.clientHeight,
      ms: 1,
      padding: [nth === 0 ? rem * 1.7 : rem * 0.4, rem * 0.75, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: false, y: false },
        sync: { key: `consumer-${look.consumer}` },
        points: { size: rem * 0.6 },
      },
      scales: {
        x: { time: true, range: (_, min, max) => (min === max ? [min, max + 60_000] : [min, max]) },
        y: { range: (_, __, max) => [0, Math.max(max ?? 0, 1) * 1.12] },
      },
      axes: [
        {
          ...axis,
          size: isLast ? rem * 1.8 : rem * 0.4,
          space: rem * 6,
          values: (plot, ticks) => {
            const { min = 0, max = 0 } = plot.scales.x ?? {};
            const digits = max - min < SECONDS_BELOW_MS ? 8 : 5;
            return ticks.map((tick) => (isLast ? clockTime(tick).slice(0, digits) : ''));
          },
        },
        {
          ...axis,
          size: rem * 3.6,
          space: rem * 2,
          values: (_, ticks) => ticks.map((tick) => pane.short(tick)),
        },
      ],
      series: [
        {},
        ...pane.lines.map(({ colour: name, dash }) => ({
          stroke: colour(name),
          width: 1.75,
          ...(dash ? { dash } : { fill: translucent(colour(name)) }),
          points: { show: false },
        })),
      ],
      hooks: {
        setCursor: [(plot) => setAt(plot.cursor.idx ?? null)],
        draw: [
          (plot) => {
            if (nth === 0) drawThresholds(plot, latest.current.look, colour, font);
            drawMarks(plot, latest.current.marks, colour, nth === 0 ? font : null);
          },
        ],
      },
    };
  };

  const move = (event: KeyboardEvent) => {
    const last = series.at.length - 1;
    const from = at ?? last;
    const page = Math.max(1, Math.round(last / 10));
    const to = {
      ArrowLeft: from - 1,
      ArrowRight: from + 1,
      PageDown: from - page,
      PageUp: from + page,
      Home: 0,
      End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const index = Math.min(last, Math.max(0, to));
    for (const plot of plots.current)
      plot.setCursor({ left: plot.valToPos(series.at[index]!, 'x'), top: 0 }, false);
    setAt(index);
  };

  const shown = at === null || at >= series.at.length ? series.at.length - 1 : at;
  const words = isDrawn
    ? `${clockTime(series.at[shown]!)}: ${PANES.flatMap(({ lines, text }) =>
        lines.map(({ of, name }) => `${name} ${text(series[of][shown] ?? null)}`),
      ).join(', ')}`
    : 'no samples yet';
  return (
    <div
      ref={holders}
      class="time-chart"
      role="slider"
      tabIndex={0}
      aria-label="Lag, oldest unread, and rates over time"
      aria-valuemin={0}
      aria-valuemax={Math.max(series.at.length - 1, 0)}
      aria-valuenow={Math.max(shown, 0)}
      aria-valuetext={words}
      onKeyDown={move}
    >
      {PANES.map(({ title, lines, text }, nth) => (
        <div key={title} class="pane">
          <div class="head">
            <b>{title}</b>
            {isDrawn &&
              lines.map(({ of, name, colour, dash }) => (
                <span key={of} class="reading">
                  <svg viewBox="0 0 20 4" aria-hidden="true">
                    <path
                      d="M0 2h20"
                      style={{ stroke: `var(${colour})` }}
                      stroke-dasharray={dash?.join(' ')}
                    />
                  </svg>
                  {lines.length > 1 && name} {text(series[of][shown] ?? null)}
                </span>
              ))}
            {nth === 0 && isDrawn && <span class="muted small when">at {clockTime(series.at[shown]!)}</span>}
          </div>
          <div class={`plot ${nth === 0 ? 'first' : nth === PANES.length - 1 ? 'last' : ''}`} />
        </div>
      ))}
      {!isDrawn && <p class="muted">The lines begin with the second sample, in some seconds.</p>}
    </div>
  );
}

function drawThresholds(
  plot: uPlot,
  { warning, incident }: ChartProps['look'],
  colour: (name: string) => string,
  font: string,
): void {
  const { ctx } = plot;
  const { left, width } = plot.bbox;
  let above = Number.NEGATIVE_INFINITY;
  for (const [value, name, text] of [
    [incident, '--bad', 'incident'],
    [warning, '--warn', 'warning'],
  ] as const) {
    if (value > (plot.scales.y!.max ?? 0)) continue;
    const y = plot.valToPos(value, 'y', true);
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = colour(name);
    ctx.lineWidth = uPlot.pxRatio;
    ctx.setLineDash([2 * uPlot.pxRatio, 4 * uPlot.pxRatio]);
    line(ctx, [left, y], [left + width, y]);
    ctx.font = scaled(font);
    ctx.textAlign = 'right';
    ctx.textBaseline = 'bottom';
    // One on top of the other, neither could be read.
    if (y - above > 18 * uPlot.pxRatio) ctx.fillText(`${text} ${brief(value)}`, left + width - 4, y - 2);
    above = y;
    ctx.restore();
  }
}

/** @param font of the numbers at their heads; null leaves those out */
function drawMarks(
  plot: uPlot,
  marks: readonly Mark[],
  colour: (name: string) => string,
  font: string | null,
): void {
  const { ctx } = plot;
  const { top, height, left, width } = plot.bbox;
  let taken = Number.NEGATIVE_INFINITY;
  for (const [nth, { at, kind }] of marks.entries()) {
    const x = Math.round(plot.valToPos(at, 'x', true));
    if (x < left || x > left + width) continue;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = colour(MARKS[kind].colour);
    ctx.lineWidth = 1.5 * uPlot.pxRatio;
    ctx.setLineDash(MARKS[kind].dash.map((each) => each * uPlot.pxRatio));
    line(ctx, [x, top], [x, top + height]);
    const size = Number.parseFloat(font ?? '12') * 0.68 * uPlot.pxRatio;
    // Numbers that would cover each other: the list below has them all.
    if (font !== null && x - taken > 2 * size) {
      taken = x;
      ctx.beginPath();
      ctx.roundRect(x - size, top - 2 * size, 2 * size, 2 * size, size / 2);
      ctx.fill();
      ctx.fillStyle = colour('--surface');
      ctx.font = `bold ${scaled(font)}`;
      ctx.textAlign = 'center';
      ctx.textBaseline = 'middle';
      ctx.fillText(String(nth + 1), x, top - size + 1);
    }
    ctx.restore();
  }
}

function line(ctx: CanvasRenderingContext2D, from: [number, number], to: [number, number]): void {
  ctx.beginPath();
  ctx.moveTo(...from);
  ctx.lineTo(...to);
  ctx.stroke();
}

/** A canvas counts the screen's own pixels. */
function scaled(font: string): string {
  return font.replace(/^(\d+)px/, (_, px: string) => `${Number(px) * uPlot.pxRatio}px`);
}

/** What a custom property is in the theme of now. */
function resolved(element: HTMLElement, name: string): string {
  element.style.color = `var(${name})`;
  const { color } = getComputedStyle(element);
  element.style.color = '';
  return color;
}

function translucent(colour: string): string {
  return colour.replace(/^rgb\((.*)\)$/, 'rgba($1, 0.14)');
}
