// Prometheus and promtool, of one module. Service discovery is left out, which is most of what there is to compile, and so
// are the pages of its user interface, which its build takes from elsewhere.
import { python } from '../../local/parts/prerequisites.ts';
import { goCommands } from './go-commands.mjs';

const MODULE = 'github.com/prometheus/prometheus';
/** 3.15.1; as a module, Prometheus 3.x.y is v0.3xx.y. */
const VERSION = 'v0.315.1';

export const prometheus = {
  name: 'Prometheus',
  variable: 'MILLRACE_TEST_PROMETHEUS',
  prerequisites: [python],

  async download(processes) {
    const commands = ['cmd/prometheus', 'cmd/promtool'].map((command) => `${MODULE}/${command}`);
    return goCommands(processes, commands, VERSION, 'remove_all_sd');
  },

  /** Suites start their own. @returns the paths of prometheus and of promtool */
  async start(_processes, paths) {
    return { value: paths.join(','), version: VERSION };
  },
};
