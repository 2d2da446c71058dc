import { branchName, isNamed, isPromoted, type SchemaNode, unqualify } from './schema.ts';

/**
 * Why values could land in the wrong branch of a union, null where each finds its own. A reader takes the first
 * branch that fits (https://avro.apache.org/docs/1.12.0/specification/#schema-resolution, 2026-11-24): by kind, by
 * name without the namespace, by alias or by promotion. In a union that passes, only one ever fits best.
 */
export function findUnionFault(branches: readonly SchemaNode[]): string | null {
  if (branches.length === 0) return 'The union has no branch. Give it one.';
  if (branches.some(({ kind }) => kind === 'union')) {
    return 'The union stands directly in a union. Write the branches of both in one list.';
  }
  const taken = new Set<string>();
  for (const [index, branch] of branches.entries()) {
    const names = isNamed(branch) ? [branch.fullName, ...branch.aliases].map(unqualify) : [branch.kind];
    if (names.some((name) => taken.has(name))) {
      return `Readers know two branches of the union as ${names.find((name) => taken.has(name))}. Keep one, or give them names and aliases that differ without their namespaces.`;
    }
    for (const name of names) taken.add(name);
    const earlier = branches.slice(0, index).find(({ kind }) => isPromoted(branch.kind, kind));
    if (earlier) {
      const remedy = isPromoted(earlier.kind, branch.kind) ? 'Keep one of them' : `Put ${branch.kind} first`;
      return `Readers would take ${branchName(branch)} as ${branchName(earlier)}, which comes before it in the union. ${remedy}.`;
    }
  }
  return null;
}
