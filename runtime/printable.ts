/** Text that may hold anything, safe to show in a terminal and on a page. */

/** What shows nothing, or shows what follows in another order; without those that choose between an emoji and a text. */
export const UNSEEN =
  /[[\p{Bidi_Control}\p{Default_Ignorable_Code_Point}\p{Zl}\p{Zp}\ufff9-\ufffb]--[\ufe0e\ufe0f]]/gv;

/**
 * One line: a control character would move the cursor or worse, and what cannot be seen would make one text look like
 * another.
 */
export function printable(text: string): string {
  return shown(text).replace(/\p{Cc}/gu, '�');
}

/** The same of a text of several lines, which keeps its line breaks and tabs. */
export function printableLines(text: string): string {
  return shown(text).replace(/[^\P{Cc}\n\t]/gu, '�');
}

/** What cannot be seen, by its number. */
function shown(text: string): string {
  return text.replace(
    UNSEEN,
    (each) => `<U+${each.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}>`,
  );
}
