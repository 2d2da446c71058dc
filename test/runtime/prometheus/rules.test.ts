import { readdirSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { dashboardFile } from '../../../runtime/prometheus/dashboard.ts';
import { inhibitionFile, ruleFile } from '../../../runtime/prometheus/rule-files.ts';
import { CONSUMERS, promtoolTests, RULE_CASES, RULES, ruleOf, TEXTS } from './rule-cases.ts';

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

const file = parse(ruleFile(CONSUMERS, TEXTS)) as { groups: { name: string; rules: Rule[] }[] };
const rules = file.groups.flatMap((group) => group.rules);

test('each rule has a case in which it fires and one in which it is silent', () => {
  const idOf = ({ alert, consumer }: { alert: string; consumer?: string }) => `${alert} ${consumer ?? ''}`;
  expect(RULE_CASES.map(idOf).toSorted()).toEqual(RULES.map(idOf).toSorted());
  for (const each of RULE_CASES) {
    expect(ruleOf(each)).toBeDefined();
    expect(each.fires.length).toBeGreaterThan(0);
    expect(each.silent.length).toBeGreaterThan(0);
  }
});

test('the cases are YAML, one test for each moment', () => {
  const { tests } = parse(promtoolTests('rules.yml')) as { tests: unknown[] };
  expect(tests).toHaveLength(
    RULE_CASES.reduce((sum, { fires, silent }) => sum + fires.length + silent.length, 0),
  );
});

test('the file is YAML that holds each rule with its labels, the first command and its runbook', () => {
  expect(rules.map(({ alert, expr }) => ({ alert, expr }))).toEqual(
    RULES.map(({ alert, expr }) => ({ alert, expr })),
  );
  for (const [index, { alert, labels, annotations, for: holds }] of rules.entries()) {
    const rule = RULES[index]!;
    expect(alert).toMatch(/^Millrace[A-Z]\w+$/);
    expect(holds).toMatch(/^\d+[sm]$/);
    expect(labels).toEqual({
      severity: rule.severity,
      scope: rule.scope,
      ...(rule.consumer !== undefined && { consumer: rule.consumer }),
    });
    expect(annotations.description).toBe(`${annotations.summary} First: npx millrace status --env prod`);
    expect(annotations.summary).toMatch(/\.$/);
    expect(annotations.runbook_url).toBe(`https://wiki.example.com/runbooks/${rule.runbook}.md`);
  }
});

test('each rule has its runbook', () => {
  const runbooks = readdirSync(new URL('../../../docs/runbooks/', import.meta.url));
  for (const { runbook } of RULES) expect(runbooks).toContain(`${runbook}.md`);
});

test('no two rules have the same name and labels', () => {
  const ids = rules.map(({ alert, labels }) => JSON.stringify([alert, labels]));
  expect(new Set(ids).size).toBe(ids.length);
});

test('thresholds are those that each consumer declares', () => {
  const exprOf = (alert: string, consumer: string) =>
    rules.find(({ alert: name, labels }) => name === alert && labels.consumer === consumer)?.expr;
  expect(exprOf('MillraceLagWarning', 'orders')).toMatch(/\{consumer="orders"\}\) >= 10000$/);
  expect(exprOf('MillraceLagIncident', 'orders')).toMatch(/\{consumer="orders"\}\) >= 100000$/);
  expect(exprOf('MillraceLagWarning', 'payments')).toMatch(/>= 500$/);
  expect(exprOf('MillraceLagIncident', 'payments')).toMatch(/>= 5000$/);
});

test('an app without consumers has the rules of any group', () => {
  const { groups } = parse(ruleFile([], TEXTS)) as typeof file;
  expect(groups[0]!.rules.find(({ alert }) => alert === 'MillraceHeadroomLow')?.expr).toContain(
    '(millrace_group_deletion_headroom_seconds)',
  );
});

test('the same declarations give the same texts', () => {
  expect(ruleFile(CONSUMERS, TEXTS)).toBe(ruleFile(CONSUMERS, TEXTS));
  const thresholds = [{ consumer: 'orders', warning: 10, incident: 100 }];
  expect(dashboardFile(thresholds)).toBe(dashboardFile(thresholds));
});

/** As Alertmanager decides it: https://prometheus.io/docs/alerting/latest/configuration/#inhibit_rule (2026-11-27). */
function inhibits(
  source: Readonly<Record<string, string>>,
  target: Readonly<Record<string, string>>,
): boolean {
  const { inhibit_rules } = parse(inhibitionFile()) as {
    inhibit_rules: { source_matchers: string[]; target_matchers: string[]; equal?: string[] }[];
  };
  const matches = (labels: Readonly<Record<string, string>>, matchers: readonly string[]) =>
    matchers.every((matcher) => {
      const [, name, operator, value] = /^(\w+)(=~|!=|=)"(.*)"$/.exec(matcher)!;
      const found = labels[name!] ?? '';
      if (operator === '=~') return new RegExp(`^(?:${value})$`).test(found);
      return (found === value) === (operator === '=');
    });
  return inhibit_rules.some(({ source_matchers, target_matchers, equal = [] }) => {
    const both = (labels: Readonly<Record<string, string>>) =>
      matches(labels, source_matchers) && matches(labels, target_matchers);
    if (both(source) && both(target)) return false;
    return (
      matches(source, source_matchers) &&
      matches(target, target_matchers) &&
      equal.every((name) => (source[name] ?? '') === (target[name] ?? ''))
    );
  });
}

test('lost data silences the rest of the consumer, an incident its warnings, and neither another consumer', () => {
  const alertOf = (alertname: string, consumer: string) => {
    const { severity, scope } = RULES.find(({ alert }) => alert === alertname)!;
    return { alertname, severity, scope, cluster_name: 'prod', consumer, topic: `shop.${consumer}` };
  };
  const lost = alertOf('MillraceDataLost', 'orders');
  expect(inhibits(lost, alertOf('MillraceStalled', 'orders'))).toBe(true);
  expect(inhibits(lost, alertOf('MillraceLagIncident', 'orders'))).toBe(true);
  expect(inhibits(lost, alertOf('MillraceStalled', 'payments'))).toBe(false);
  expect(inhibits(lost, lost)).toBe(false);
  expect(inhibits(alertOf('MillraceStalled', 'orders'), lost)).toBe(false);
  const incident = alertOf('MillraceLagIncident', 'orders');
  expect(inhibits(incident, alertOf('MillraceLagWarning', 'orders'))).toBe(true);
  expect(inhibits(incident, alertOf('MillraceLagWarning', 'payments'))).toBe(false);
  expect(inhibits(incident, alertOf('MillraceStalled', 'orders'))).toBe(false);
  expect(inhibits(alertOf('MillraceExporterStale', ''), alertOf('MillraceLagUnknown', 'orders'))).toBe(true);
  expect(inhibits(alertOf('MillraceExporterStale', ''), alertOf('MillraceStalled', 'orders'))).toBe(false);
  // Of another cluster's exporter it says nothing.
  const elsewhere = { ...alertOf('MillraceLagUnknown', 'orders'), cluster_name: 'test' };
  expect(inhibits(alertOf('MillraceExporterStale', ''), elsewhere)).toBe(false);
});

test('the dashboard asks for metrics that there are, and places no panel on another', () => {
  const board = JSON.parse(dashboardFile([{ consumer: 'orders', warning: 10, incident: 100 }])) as {
    panels: {
      id: number;
      gridPos: { x: number; y: number; w: number; h: number };
      targets: { expr: string; refId: string }[];
    }[];
  };
  const cells = board.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)}/${y + Math.floor(cell / w)}`),
  );
  expect(new Set(cells).size).toBe(cells.length);
  for (const { targets } of board.panels) {
    expect(new Set(targets.map(({ refId }) => refId)).size).toBe(targets.length);
    for (const { expr } of targets) expect(expr).toMatch(/millrace_(?:group|exporter)_\w+\{/);
  }
});
