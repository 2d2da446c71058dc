/** The report of each entry, by its name. */
export function apiReports(): Readonly<Record<string, string>>;
