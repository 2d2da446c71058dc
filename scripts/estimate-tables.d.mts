import type { App } from '../runtime/app.ts';

export function renderPages(app: App, root: string): Readonly<Record<string, string>>;
