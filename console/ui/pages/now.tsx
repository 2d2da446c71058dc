import type { PageProps } from '../page.ts';

export function NowPage({ status }: PageProps) {
  return <h1>Now {status?.consumers.length}</h1>;
}
