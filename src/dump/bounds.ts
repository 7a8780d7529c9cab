/**
 * How large each thing in a dump may be. Every bound exists because the number
 * that it limits comes out of a file: it is checked before anything is
 * allocated for it.
 */

/**
 * Rows of a file. A row costs about 350 bytes of index, statistics included, so
 * that the largest index takes 1.4 GiB: less than the heap that Node gives a
 * process on a machine of 4 GiB.
 */
export const MAX_ROWS: number = 2 ** 22;

/** Bytes of a name, and of any other text in a row. The contract promises names of up to 64 KiB. */
export const MAX_TEXT_BYTES: number = 64 * 1024;

/** Bytes of the run metadata and of `run.end`. A map of shards for 10⁵ tensors takes about 10 MiB. */
export const MAX_JSON_BYTES: number = 16 * 1024 * 1024;

/** Nesting of the run metadata, so that whoever walks it may recurse. Ours is 3 deep. */
export const MAX_JSON_DEPTH = 64;

/** Axes of a tensor: NumPy's own limit. */
export const MAX_AXES = 64;

/** The largest count, offset or product of sizes: beyond 2⁵³ − 1 a float64 skips integers. */
export const MAX_COUNT: number = Number.MAX_SAFE_INTEGER;

/** `layer`, `sample`, `step`, `repeat` and `rank` are int32 in the contract. */
export const MAX_INT32: number = 2 ** 31 - 1;

/** Bytes of the footer: the schema with its metadata, and 24 bytes for each batch. */
export const MAX_FOOTER_BYTES: number = 128 * 1024 * 1024;

/** Bytes of the metadata of one message: 16 bytes a buffer; views of many chunks have thousands. */
export const MAX_MESSAGE_BYTES: number = 32 * 1024 * 1024;

/** Columns of a file, nested ones included. The contract has 23. */
export const MAX_FIELDS = 4096;

/** Nesting of columns. The contract has 2. */
export const MAX_FIELD_DEPTH = 64;

/** Key-value pairs of the schema's metadata. The contract has 2, other tools add a few. */
export const MAX_METADATA_PAIRS = 4096;

/** Bytes of everything but the tensors' data, over all batches: it is read in full when a file is opened. */
export const MAX_INDEX_BYTES: number = 1024 * 1024 * 1024;

/** Ranks of one run: each is an open file, and a strand of every job of the kernel. */
export const MAX_RANKS = 512;

/** Globs of `run.shards`: each is tried on every name. */
export const MAX_SHARD_GLOBS = 256;

/** Values of all performance metrics of a file together: a thousand points of a thousand requests, four metrics each. */
export const MAX_PERFORMANCE_VALUES: number = 2 ** 22;

/** Points of the sweeps of a file. */
export const MAX_SWEEP_POINTS = 1024;

/** Bytes of the JSON of a benchmark: every pause between two tokens of a million, in digits. */
export const MAX_BENCH_JSON_BYTES: number = 64 * 1024 * 1024;

/**
 * Bytes of a dump.json of msprobe, and of the construct.json beside it. A tensor takes about 500 of them, and the whole
 * is one string, of which V8 allows 2²⁹ characters; parsed it takes some five times as much.
 */
export const MAX_MSPROBE_JSON_BYTES: number = 256 * 1024 * 1024;
