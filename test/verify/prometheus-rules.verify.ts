/** The generated rules and dashboard, by promtool. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, jest, test } from '@jest/globals';
import { dashboardFile } from '../../runtime/prometheus/dashboard.ts';
import { ruleFile } from '../../runtime/prometheus/rule-files.ts';
import { toYaml } from '../../runtime/yaml.ts';
import {
  CONSUMERS,
  promtoolTests,
  RULE_CASES,
  RULES,
  ruleOf,
  TEXTS,
} from '../runtime/prometheus/rule-cases.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { part } from './part.ts';

jest.setTimeout(120_000);

const promtool = part('MILLRACE_TEST_PROMETHEUS').split(',')[1]!;
const { path: folder, remove } = createTemporaryFolder();
afterAll(remove);

function run(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(promtool, args, { cwd: folder, encoding: 'utf8' });
  return { status, output: `${stdout}${stderr}` };
}

function write(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return name;
}

const rules = ruleFile(CONSUMERS, TEXTS);

test('promtool takes the rules, and warns of nothing in them', () => {
  const { status, output } = run('check', 'rules', '--lint-fatal', write('rules.yml', rules));
  expect(output).toContain(`${RULES.length} rules found`);
  expect(status).toBe(0);
});

test('each rule fires in the cases in which it should, with its texts, and in no other', () => {
  write('rules.yml', rules);
  const { status, output } = run('test', 'rules', write('tests.yml', promtoolTests('rules.yml')));
  expect(output).toContain('SUCCESS');
  expect(status).toBe(0);
});

/** So that the cases are known to be able to fail: each rule, made to hold always or at once. */
test.each(RULE_CASES.map((each) => [`${each.alert} ${each.consumer ?? ''}`.trim(), each] as const))(
  '%s is held by its cases',
  (_name, each) => {
    const { alert, expr, for: holds } = ruleOf(each)!;
    const fires = (rule: string) => rule.replace(`expr: ${JSON.stringify(expr)}`, 'expr: "vector(1)"');
    const at = rules.indexOf(`expr: ${JSON.stringify(expr)}`);
    expect(at).toBeGreaterThan(0);
    const mutants = [fires(rules)];
    if (holds !== '0s') {
      const sooner = rules.slice(at).replace(/for: "\w+"/, 'for: "1s"');
      mutants.push(rules.slice(0, at) + sooner);
    }
    for (const mutant of mutants) {
      write('mutant.yml', mutant);
      const { status, output } = run(
        'test',
        'rules',
        write('mutant-tests.yml', promtoolTests('mutant.yml', [each])),
      );
      expect(output).toContain(`alertname: ${alert}`);
      expect(status).not.toBe(0);
    }
  },
);

test("the dashboard's queries are PromQL", () => {
  const { panels } = JSON.parse(dashboardFile([{ consumer: 'orders', warning: 10, incident: 100 }])) as {
    panels: { targets: { expr: string }[] }[];
  };
  const queries = panels.flatMap(({ targets }) =>
    targets.map(({ expr }) => expr.replaceAll('$__rate_interval', '5m')),
  );
  const recorded = queries.map((expr, index) => ({ record: `dashboard:query_${index}`, expr }));
  const { status, output } = run(
    'check',
    'rules',
    write('dashboard.yml', toYaml({ groups: [{ name: 'dashboard', rules: recorded }] })),
  );
  expect(output).toContain(`${queries.length} rules found`);
  expect(status).toBe(0);
});
