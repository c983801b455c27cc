/** Amounts are whole numbers of minor units; they are divided only to be shown, and never to be calculated with. */
export interface Money {
  amount: number;
  currency: string;
}

export function digitsOf(currency: string): number {
  try {
    return new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits ?? 2;
  } catch {
    return 2;
  }
}

/** An amount without its currency, as it is typed: 1999 of EUR is 19.99. */
export function typed(amount: number, currency: string): string {
  const digits = digitsOf(currency);
  const text = `${Math.abs(amount)}`.padStart(digits + 1, "0");
  const whole = digits ? `${text.slice(0, -digits)}.${text.slice(-digits)}` : text;
  return amount < 0 ? `-${whole}` : whole;
}

/** The minor units of what was typed, or nothing where it is no amount of this currency. */
export function minor(text: string, currency: string): number | null {
  const digits = digitsOf(currency);
  const found = /^(\d{1,12})(?:[.,](\d+))?$/.exec(text.trim());
  if (!found || (found[2] ?? "").length > digits) return null;
  return Number(`${found[1]}${(found[2] ?? "").padEnd(digits, "0")}`);
}

export function shown(money: Money | null | undefined): string {
  return money ? `${typed(money.amount, money.currency)} ${money.currency}` : "";
}

export function when(text: string | null | undefined): string {
  return text ? new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }) : "";
}
