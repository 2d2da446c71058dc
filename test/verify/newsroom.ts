/** The command line in this repository's own app, unless a test has another project. */

import * as inProject from '../cli/millrace.ts';
import { ROOT } from '../newsdesk.ts';

export const millrace = (args: readonly string[], input = '', project = ROOT) =>
  inProject.millrace(args, input, project);
export const millraceJson = (args: readonly string[], input = '', project = ROOT) =>
  inProject.millraceJson(args, input, project);
export const millraceVerdicts = (args: readonly string[], project = ROOT) =>
  inProject.millraceVerdicts(args, project);
export const start = (args: readonly string[], project = ROOT) => inProject.start(args, project);
export { finished, TABLES, until } from '../cli/millrace.ts';
