/** The first few of each: two lists of many thousands are no message. */
export function differences(expected: readonly string[], found: readonly string[]) {
  const [all, there] = [new Set(expected), new Set(found)];
  return {
    missing: expected.filter((each) => !there.has(each)).slice(0, 5),
    extra: found.filter((each) => !all.has(each)).slice(0, 5),
  };
}
