// What the house's own pages read, as far as the tests look at it.

export interface Money {
  minor: number;
  currency: string;
}

export interface PersonView {
  id: string;
  handle: string;
  name: string;
  simulated: boolean;
}

export interface Line {
  id: string;
  who: PersonView;
  region: string;
  amount: Money;
  units: number;
  at: number;
}

interface Terms {
  english: {
    mechanism: "english";
    reserve: "none" | "not_met" | "met";
    leader: Line | null;
    next_minimum: Money;
    extension: { window_ms: number; hard_end: number };
  };
  dutch: {
    mechanism: "dutch";
    schedule: { start: Money; floor: Money; step_minor: number; tick_ms: number };
  };
  drop: { mechanism: "drop"; price: Money; units: number; units_left: number; limit: number | null };
}

export type Mechanism = keyof Terms;

export interface LotOf<M extends Mechanism> {
  id: string;
  title: string;
  seller: PersonView;
  opens_at: number;
  closes_at: number;
  status: "open" | "sold" | "passed" | "cancelled";
  terms: Terms[M];
  outcome: { outcome: string } | null;
  epoch: number;
  offset: number;
}

export type Lot = LotOf<Mechanism>;

export interface FloorPage {
  floor: { live: Lot[]; settled: Lot[]; server_time: number };
}

export interface RoomPage {
  room: { lot: Lot; ladder: Line[]; server_time: number };
}

export interface Wallet {
  available: Money;
  held: Money;
  spent: Money;
  funded: Money;
  version: number;
}

export interface WalletPage {
  wallet: Wallet;
  /** What is held, drawn. */
  holds: string;
  /** The statement, drawn. */
  statement: string;
}

/** What a command was answered with. */
export interface Answer {
  not_done?: string;
  code?: string;
  field?: string;
  line?: Line;
  total?: Money;
  price?: Money;
  next_minimum?: Money;
}
