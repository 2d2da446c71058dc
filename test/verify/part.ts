/** What `npm run verify` says of a part that a test file names: its address, its folder, its class path. */
export function part(variable: string): string {
  const value = process.env[variable];
  if (!value) throw new Error(`${variable} is not set; run npm run verify`);
  return value;
}
