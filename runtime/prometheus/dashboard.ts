/** A dashboard for Grafana on the exporter's metrics: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/ (2026-11-27). */
import { LAG_VERDICTS, type LagVerdict } from '../lag/status.ts';
import { quoted } from './rule.ts';

interface Threshold {
  readonly consumer: string;
  readonly warning: number;
  readonly incident: number;
}

const WIDTH = 24;
const SOURCE = { type: 'prometheus', uid: '$source' };
const SELECTED = 'cluster_name=~"$cluster", consumer=~"$consumer"';

const COLOURS: Readonly<Record<LagVerdict, string>> = {
  LOST: 'dark-red',
  AT_RISK: 'red',
  BLOCKED: 'red',
  STALLED: 'red',
  RISING: 'orange',
  BEHIND: 'yellow',
  SILENT: 'yellow',
  RECOVERING: 'blue',
  UNKNOWN: 'purple',
  OK: 'green',
  IDLE: 'dark-green',
};

/** The dashboard's JSON, to import or to provision. The same declarations give the same text. */
export function dashboardFile(thresholds: readonly Threshold[]): string {
  return `${JSON.stringify(dashboard(thresholds), null, 2)}\n`;
}

function dashboard(thresholds: readonly Threshold[]): object {
  const rows = [
    row(8, verdicts()),
    row(
      8,
      series(
        'Lag',
        'short',
        [[`max by (consumer, topic) (millrace_group_lag{${SELECTED}})`, '{{consumer}}']],
        thresholds,
      ),
      series('Age of the next unread record', 's', [
        [`max by (consumer, topic) (millrace_group_record_age_seconds{${SELECTED}})`, '{{consumer}}'],
      ]),
    ),
    row(
      8,
      series('Time to drain, and until retention deletes what is unread', 's', [
        [
          `max by (consumer) (millrace_group_drain_seconds{${SELECTED}, bound="high"} < +Inf)`,
          '{{consumer}} drains',
        ],
        [
          `min by (consumer) (millrace_group_deletion_headroom_seconds{${SELECTED}})`,
          '{{consumer}} headroom',
        ],
      ]),
      series('Records per second', 'cps', [
        [`max by (consumer) (millrace_group_records_in_per_second{${SELECTED}})`, '{{consumer}} in'],
        [`max by (consumer) (millrace_group_records_out_per_second{${SELECTED}})`, '{{consumer}} out'],
      ]),
    ),
    row(
      6,
      series('Offsets lost', 'short', [
        [
          `max by (consumer) (increase(millrace_group_offsets_lost_total{${SELECTED}}[$__rate_interval]))`,
          '{{consumer}}',
        ],
      ]),
      series('Dead letters', 'short', [
        [`max by (consumer) (millrace_group_dead_letters{${SELECTED}})`, '{{consumer}}'],
        [`max by (consumer) (millrace_group_parked_records{${SELECTED}})`, '{{consumer}} parked'],
      ]),
      series('Age and duration of the sample', 's', [
        [
          'max by (cluster_name) (millrace_exporter_sample_age_seconds{cluster_name=~"$cluster"})',
          '{{cluster_name}} age',
        ],
        [
          'max by (cluster_name) (millrace_exporter_sample_duration_seconds{cluster_name=~"$cluster"})',
          '{{cluster_name}} duration',
        ],
      ]),
    ),
  ];
  let y = 0;
  const panels = rows.flatMap(({ height, panels: of }) => {
    const w = WIDTH / of.length;
    const placed = of.map((panel, index) => ({ ...panel, gridPos: { h: height, w, x: index * w, y } }));
    y += height;
    return placed;
  });
  return {
    uid: 'millrace-lag',
    title: 'Millrace: consumers',
    tags: ['millrace', 'kafka'],
    schemaVersion: 39,
    editable: true,
    refresh: '30s',
    time: { from: 'now-3h', to: 'now' },
    templating: {
      list: [
        { name: 'source', label: 'Data source', type: 'datasource', query: 'prometheus' },
        chosen('cluster', 'Cluster', 'label_values(millrace_group_verdict, cluster_name)'),
        chosen(
          'consumer',
          'Consumer',
          'label_values(millrace_group_verdict{cluster_name=~"$cluster"}, consumer)',
        ),
      ],
    },
    panels: panels.map((panel, index) => ({ id: index + 1, ...panel })),
  };
}

interface Row {
  readonly height: number;
  readonly panels: readonly object[];
}

function row(height: number, ...panels: readonly object[]): Row {
  return { height, panels };
}

/** A number a verdict, so that one line of colours shows how a consumer has been. */
function verdicts(): object {
  const numbers = LAG_VERDICTS.map(
    (verdict, index) =>
      `max by (consumer, topic) (millrace_group_verdict{${SELECTED}, verdict="${verdict}"} == 1) * 0 + ${index}`,
  );
  return {
    type: 'state-timeline',
    title: 'Verdicts',
    datasource: SOURCE,
    targets: [
      { refId: 'A', datasource: SOURCE, expr: numbers.join(' or '), legendFormat: '{{consumer}} {{topic}}' },
    ],
    fieldConfig: {
      defaults: {
        mappings: [
          {
            type: 'value',
            options: Object.fromEntries(
              LAG_VERDICTS.map((verdict, index) => [
                String(index),
                { text: verdict, color: COLOURS[verdict], index },
              ]),
            ),
          },
        ],
      },
      overrides: [],
    },
    options: { mergeValues: true, showValue: 'auto', legend: { showLegend: false } },
  };
}

function series(
  title: string,
  unit: string,
  queries: readonly (readonly [expr: string, legend: string])[],
  thresholds: readonly Threshold[] = [],
): object {
  // Lines of all consumers at once would say nothing: where one is chosen, its own are shown.
  const lines = thresholds.flatMap(({ consumer, warning, incident }) =>
    Object.entries({ warning, incident }).map(([severity, value]) => {
      const others = `count(millrace_group_lag{${SELECTED}, consumer!=${quoted(consumer)}})`;
      const own = `count(millrace_group_lag{${SELECTED}, consumer=${quoted(consumer)}})`;
      return [`vector(${value}) and ${own} unless ${others}`, `${consumer}: ${severity}`] as const;
    }),
  );
  return {
    type: 'timeseries',
    title,
    datasource: SOURCE,
    targets: [...queries, ...lines].map(([expr, legendFormat], index) => ({
      refId: refId(index),
      datasource: SOURCE,
      expr,
      legendFormat,
    })),
    fieldConfig: {
      defaults: { unit, min: 0, custom: { lineWidth: 1, fillOpacity: 10, spanNulls: false } },
      overrides: [],
    },
    options: {
      legend: { displayMode: 'list', placement: 'bottom' },
      tooltip: { mode: 'multi', sort: 'desc' },
    },
  };
}

/** A, B, … Z, AA, … */
function refId(index: number): string {
  const letter = String.fromCharCode(65 + (index % 26));
  return index < 26 ? letter : refId(Math.floor(index / 26) - 1) + letter;
}

function chosen(name: string, label: string, query: string): object {
  return {
    name,
    label,
    type: 'query',
    datasource: SOURCE,
    query: { query, refId: name },
    definition: query,
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    allValue: '.*',
    current: { text: 'All', value: '$__all' },
  };
}
