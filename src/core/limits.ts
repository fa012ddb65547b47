/**
 * Every bound in one place, unit last in the name. A limit that is reached is an error with a code, never a
 * truncation. Sizes count UTF-8 bytes of the canonical JSON text.
 */
export const limits = {
  /** Nesting of a JSON value; beyond it some engines parse what they can no longer write. */
  jsonDepthMax: 200,
  /** Nodes (values) in one JSON value. */
  jsonNodesMax: 1_000_000,
  /** One value: an input, an output, an error's data. */
  payloadBytesMax: 2_097_152,
  /** The state of a checkpoint. It is stored in pieces, but written and read as a whole. */
  stateBytesMax: 33_554_432,
  /** What a step returned and could not be its output is kept up to this size, so that nothing paid for is lost. */
  keptBytesMax: 67_108_864,
  /** Values up to this size live inside their event; larger ones are stored once per digest. */
  inlineBytesMax: 1024,
  /** Names of workflows, steps, scopes, tags, and keys made from them. */
  nameCharsMax: 200,
  /** Idempotency keys and other ids that come from outside. */
  idCharsMax: 1000,
  /** Scopes within scopes. */
  scopeDepthMax: 32,
  /** Events in the history of one run. */
  historyEventsMax: 1_000_000,
  /** Events that one page of `history` or `feed` holds. */
  pageEventsMax: 1000,
  /**
   * A run that nobody had yet and that is due only after longer than this, in milliseconds (fifty years), is being taken in
   * from elsewhere: nothing makes it due before it is whole.
   */
  takingInMs: 1_576_800_000_000,
  /** Runs in one page of `list`. */
  pageRunsMax: 200,
  /** Items of one `ctx.map`. */
  mapItemsMax: 100_000,
  /** Tags of one run. */
  tagsMax: 100,
  /** Names that one run asks `ctx.patched` for. */
  patchesMax: 1000,
  /** Values that one stream of a run keeps; the oldest go. */
  streamValuesMax: 10_000,
  /** Messages that wait in the inbox of one run. */
  inboxMessagesMax: 10_000,
  /** Body of one HTTP request, and all of its headers. */
  requestBytesMax: 4_194_304,
  requestHeaderBytesMax: 16_384,
  /** How long an HTTP request may take to arrive. */
  requestArrivalMsMax: 15_000,
  /** Streams of events that one server has open at a time. */
  streamsMax: 2000,
  /** How long one request waits for the end of a run; who wants to wait longer asks again. */
  resultWaitMsMax: 60_000,
  /** One fact in the message of a webhook; a larger one is named by its digest. */
  webhookFactBytesMax: 65_536,
  /** Webhooks for many runs in one store. */
  webhooksMax: 1000,
  /** Steps of a comparison whose large values are read, asked for over HTTP. */
  comparedDetailsMax: 10_000,
  /** Nodes that are registered at a time, and functions of one. */
  nodesMax: 1000,
  nodeFunctionsMax: 1000,
  /** What a node answers when it is asked to work. */
  nodeAnswerBytesMax: 4_194_304,
  /** One line of an exported family: a value that was kept, with what JSON escapes. */
  exportLineCharsMax: 140_000_000,
  /** A file that is taken in, unless the caller says otherwise. */
  exportBytesMax: 8_589_934_592,
  /** Such a file as the body of a request: it is on the server's disk until it is taken in. */
  importRequestBytesMax: 1_073_741_824,
} as const;
