import type { PageProps } from '../page.ts';

export function GroupPage({ status }: PageProps) {
  return <h1>Group {status?.consumers.length}</h1>;
}
