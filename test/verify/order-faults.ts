/** The project in test/fixtures/order-history, with what its handler has wrong. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { faults } from '../fixtures/order-history/faults.ts';
import { copyProject, ROOT } from '../newsdesk.ts';

type Faults = typeof faults;

export const MENDED: Faults = { throwsAt: [], refuses: [], priceType: 'bigint', doubles: [] };

export function copyOrderHistory(folder: string, wrong: Faults): void {
  copyProject(join(ROOT, 'test/fixtures/order-history'), folder);
  deploy(folder, wrong);
}

/** The next process has the handler so. */
export function deploy(project: string, wrong: Faults): void {
  writeFileSync(join(project, 'faults.ts'), `export const faults = ${JSON.stringify(wrong)};\n`);
}
