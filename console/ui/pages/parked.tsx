import type { PageProps } from '../page.ts';

export function ParkedPage({ status }: PageProps) {
  return <h1>Parked {status?.consumers.length}</h1>;
}
