import type { PageProps } from '../page.ts';

export function FindPage({ status }: PageProps) {
  return <h1>Find {status?.consumers.length}</h1>;
}
