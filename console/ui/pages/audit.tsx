import type { PageProps } from '../page.ts';

export function AuditPage({ status }: PageProps) {
  return <h1>Audit {status?.consumers.length}</h1>;
}
