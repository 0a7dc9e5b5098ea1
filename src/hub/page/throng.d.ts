// The types of throng.js.

/** What a message can carry: any JSON value. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export type State = 'connecting' | 'open' | 'waiting' | 'closed';

/** The client's own codes, and those of the server (docs/hub.md), which may grow. */
export type ErrorCode =
  | 'closed' | 'connect' | 'left' | 'lost' | 'queue_full' | 'timeout' | 'token'
  | 'bad_command' | 'bad_json' | 'bad_name' | 'degraded' | 'forbidden' | 'not_joined' | 'overloaded'
  | 'rate_limited' | 'sink_full' | 'store_unavailable' | 'too_many_rooms' | 'unknown_session'
  | 'unknown_type'
  | (string & {});

export class ThrongError extends Error {
  constructor(code: ErrorCode, message?: string);
  /** `lost` and `timeout`: it may have arrived all the same. */
  readonly code: ErrorCode;
}

export interface Options {
  /** Joined at once, and again after each reconnect. */
  room?: string;
  /** Who you are, where no token says so. */
  name?: string;
  /**
   * Sent as the subprotocol `bearer.TOKEN` beside `throng.v1.json`. A function is asked before
   * every connect, and again before its token ends, so that the connection lives on.
   */
  token?: string | (() => string | undefined | Promise<string | undefined>);
  /**
   * Asked before every connect for a ticket (`POST /api/tickets`), which goes into the URL in
   * place of a token: it is good once. Where it gives none, the token is sent.
   */
  ticket?: () => string | undefined | Promise<string | undefined>;
  /** How long a command and a heartbeat wait for their answers, in milliseconds: 10,000. */
  timeoutMs?: number;
  /** Between two heartbeats, in milliseconds: 0, which is none. */
  heartbeatMs?: number;
  /** What an earlier one had as its `session`: its rooms are joined, if it is still known. */
  session?: string;
  /** How many commands wait while there is no connection: 100. */
  queueMax?: number;
}

export interface Members {
  room: string;
  /** Absent where you may not see them; stops at 500 names. */
  members?: string[];
  /** All of them. */
  count?: number;
}

/** The room as it is when you come in, by whatever way. */
export interface Joined extends Members {
  /** After a reconnect. */
  again: boolean;
  /** Whether all that was missed has come, where the server says so. */
  recovered?: boolean;
}

export interface Message {
  type: 'text' | 'direct';
  /** Absent in a direct message, and in one for everyone on the server. */
  room?: string;
  sender: string;
  content: Json;
  /** The server's clock, in milliseconds since 1970. */
  timestamp: number;
  /** Its place in the room, where the room has a history. */
  offset?: number;
}

/** A piece of a room's history, the oldest first. */
export interface Page {
  room: string;
  messages: Message[];
  /** Whether there is more, in the direction that was asked for. */
  more?: boolean;
  /** How far the room is. */
  offset?: number;
}

export interface Notice {
  type: 'system';
  event?: string;
  /** Of the event `dropped`: how many messages did not come. */
  count?: number;
  /** Of the event `gap`: messages are missing before this offset. */
  offset?: number;
  room?: string;
  sender?: string;
  content?: Json;
  timestamp: number;
}

export interface Coming extends Notice {
  room: string;
  sender: string;
}

export interface StateChange {
  state: State;
  /**
   * The close code and reason of the last connection. A handshake that was refused has 1008 and
   * the server's code, such as `expired_token`, where the server tells.
   */
  code?: number;
  reason?: string;
  /** While `waiting`: the time of the next try, in milliseconds since 1970. */
  retryAt?: number;
}

export interface Heartbeat {
  seq: number;
  rttMs: number;
  /** Heartbeats that were passed over, in all. */
  lost: number;
}

export interface Events {
  message: Message;
  joined: Joined;
  join: Coming;
  leave: Coming;
  system: Notice;
  state: StateChange;
  heartbeat: Heartbeat;
  /** What belongs to no promise: a room that cannot be joined again, a token that did not come. */
  error: ThrongError;
}

export class Throng {
  /** Connects. `url`, of http, https, ws or wss, may be relative to the page; `/ws` without. */
  constructor(url?: string | URL, options?: Options);

  readonly url: URL;
  readonly state: State;
  /** False as soon as the socket begins to close. */
  readonly isOpen: boolean;
  /** Your name, as the server gives it. */
  readonly name: string | undefined;
  /** With it one can come back, where the server keeps sessions. Who knows it can take it over. */
  readonly session: string | undefined;
  /** The rooms to be in, now or after the next connect. */
  readonly rooms: string[];
  readonly code: number | undefined;
  readonly reason: string | undefined;
  readonly retryAt: number | undefined;
  readonly rttMs: number | undefined;
  readonly lost: number;

  /** Returns the way to stop listening. */
  on<Type extends keyof Events>(type: Type, listener: (event: Events[Type]) => void): () => void;

  join(room: string): Promise<Members>;
  leave(room: string): Promise<{ room: string }>;
  /**
   * `echo: false` leaves this connection out; a newer message of a `key` may replace an older. With
   * a `messageId`, of at most 64 bytes and of this message alone, it is sent again after a
   * reconnect, and published once: `duplicate` in the answer says that it had been.
   */
  publish(
    room: string,
    content: Json,
    options?: { echo?: boolean; key?: string; messageId?: string },
  ): Promise<{ offset?: number; duplicate?: boolean }>;
  /** To all connections of a user. */
  direct(user: string, content: Json): Promise<object>;
  presence(room: string): Promise<Members>;
  /** The newest messages, or those before or after an offset. */
  history(
    room: string,
    options?: { limit?: number; before?: number; after?: number },
  ): Promise<Page>;

  /** Asks the connection whether it still lives. */
  heartbeat(): void;
  /** Tries at once, when `waiting` or `closed`. */
  retry(): void;
  close(code?: number, reason?: string): void;
}
