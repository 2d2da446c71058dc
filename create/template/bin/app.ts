import { synthesize } from 'millrace/cdk';
import app from '../millrace.config.ts';

await synthesize(app, new URL('..', import.meta.url));
