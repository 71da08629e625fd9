/* Counts batches of a load-test log, and picks the rows that decide an exact figure.
 *
 * C11 and the C library alone: no Python headers, so that one library serves every Python. Batches come
 * through the Arrow C stream interface (https://arrow.apache.org/docs/format/CStreamInterface.html), so that
 * nothing is copied or made contiguous on the way. A batch is taken in blocks of 1,024 rows, one short loop
 * for each step. Whatever is counted lies in pages that are found by a hash: memory follows what occurs.
 *
 * Names: a key is a combination of configuration values, a code its number from 0; a line is a code with
 * success or failure (2 * code + success); a bucket is a latency's leading bits, 256 to a doubling or fewer.
 */
#if defined(__linux__)
#include <features.h> /* says whether the C library is GNU's */
#endif
#if defined(__GLIBC__)
#include <malloc.h>
#endif
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#define API __declspec(dllexport)
#else
#define API __attribute__((visibility("default")))
#endif
#define PREFETCH(address) __builtin_prefetch(address)

enum { INTERFACE_VERSION = 5 };

enum status {
    OK = 0,
    NO_MEMORY = 1,       /* the machine has none */
    FULL = 2,            /* the tally may grow no further */
    BROKEN_ROW = 3,      /* some row breaks a rule */
    WRONG_COLUMNS = 4,   /* the batch is not laid out as announced: a mistake in the program */
    UNKNOWN_KEY = 5,     /* a key that was not there when the log was counted */
};

enum { BLOCK = 1024, MOST_KEY_COLUMNS = 31, ERRORS = 3 };
enum { BUCKET_SHIFT = 44, PAGE_BITS = 4, BUCKETS_A_PAGE = 1 << PAGE_BITS, LINE_SHIFT = 19 - PAGE_BITS, FAILED_BUCKET = (1 << 19) - 1 };
enum { SECONDS_A_PAGE = 16, CODES_A_PAGE = 4, SECOND_FIGURES = 3, SECOND_BYTES = CODES_A_PAGE * SECONDS_A_PAGE * SECOND_FIGURES, PARTS_AN_OCTAVE = 16, MOST_WINDOWS = 256, WINDOW_MASK = 511 };
enum { FRACTION_BITS = 55, EXCESS_BITS = 20 };

static const double MAX_LATENCY_MS = 1099511627776.0;  /* 2^40, as in loadlens.schema */
static const double MAX_TIME_S = 17179869184.0;        /* 2^34, likewise */
static const int64_t SECOND_OFFSET = INT64_C(1) << 34;
static const uint64_t EMPTY = UINT64_MAX;
static const uint32_t NO_PAGE = UINT32_MAX;

#if defined(__GNUC__)
__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;
#else
#error "integers of 128 bits are needed: build with GCC, Clang or `zig cc`"
#endif

/* ---- the Arrow C data and stream interface ---- */

struct ArrowSchema {
    const char *format, *name, *metadata;
    int64_t flags, n_children;
    struct ArrowSchema **children, *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length, null_count, offset, n_buffers, n_children;
    const void **buffers;
    struct ArrowArray **children, *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *);
    int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *);
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};

static bool is_valid(const struct ArrowArray *column, int64_t row) {
    const uint8_t *bits = column->buffers[0];
    int64_t at = row + column->offset;
    return bits == NULL || ((bits[at >> 3] >> (at & 7)) & 1);
}

static bool has_nulls(const struct ArrowArray *column) {
    return column->buffers[0] != NULL && column->null_count != 0;
}

static bool bit_at(const struct ArrowArray *column, int64_t row) {
    const uint8_t *bits = column->buffers[1];
    int64_t at = row + column->offset;
    return (bits[at >> 3] >> (at & 7)) & 1;
}

/* The values of a column of numbers from a row on; the column must have rows. */
static const double *floats_at(const struct ArrowArray *column, int64_t row) {
    return (const double *)column->buffers[1] + column->offset + row;
}

static const int64_t *integers_at(const struct ArrowArray *column, int64_t row) {
    return (const int64_t *)column->buffers[1] + column->offset + row;
}

/* A text in Arrow's view layout: its length, then either up to 12 bytes of it or where it lies. */
struct text {
    const uint8_t *bytes;
    uint32_t length;
};

static struct text text_at(const struct ArrowArray *column, int64_t row) {
    const uint8_t *view = (const uint8_t *)column->buffers[1] + 16 * (column->offset + row);
    struct text text = {view + 4, 0};
    memcpy(&text.length, view, 4);
    if (text.length > 12) {
        int32_t buffer, start;
        memcpy(&buffer, view + 8, 4);
        memcpy(&start, view + 12, 4);
        text.bytes = (const uint8_t *)column->buffers[2 + buffer] + start;
    }
    return text;
}

/* ---- hashes ---- */

static uint64_t mixed(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ (hash >> 32);
}

static uint64_t hash_of_text(struct text text) {
    uint64_t hash = text.length, word;
    uint32_t at = 0;
    for (; at + 8 <= text.length; at += 8) {
        memcpy(&word, text.bytes + at, 8);
        hash = mixed(hash, word);
    }
    if (at < text.length) {
        word = 0;
        memcpy(&word, text.bytes + at, text.length - at);
        hash = mixed(hash, word);
    }
    return mixed(hash, 0);
}

/* Room for more elements, at least twice as many as before; false where there is no memory. */
static bool grow(void **elements, size_t *room, size_t needed, size_t size) {
    if (needed <= *room) return true;
    size_t larger = *room * 2 > needed ? *room * 2 : needed;
    if (larger < 16) larger = 16;
    if (larger > SIZE_MAX / size) return false;
    void *moved = realloc(*elements, larger * size);
    if (moved == NULL) return false;
    *elements = moved;
    *room = larger;
    return true;
}

/* ---- numbers by hash: which of the things seen so far has it ---- */

struct index {
    uint32_t *slots; /* number + 1, 0 for none */
    size_t mask;     /* slots - 1, a power of two less 1 */
};

static bool index_grow(struct index *index, const uint64_t *hashes, size_t used) {
    if (index->slots != NULL && (used + 1) * 2 <= index->mask + 1) return true;
    size_t size = index->slots == NULL ? 64 : (index->mask + 1) * 2;
    uint32_t *slots = calloc(size, sizeof *slots);
    if (slots == NULL) return false;
    for (size_t number = 0; number < used; number++) {
        size_t at = hashes[number] & (size - 1);
        while (slots[at] != 0) at = (at + 1) & (size - 1);
        slots[at] = (uint32_t)number + 1;
    }
    free(index->slots);
    index->slots = slots;
    index->mask = size - 1;
    return true;
}

/* Texts, each once, numbered from 1; 0 stands for null. */
struct texts {
    struct index index;
    uint64_t *hashes;
    uint64_t *starts;
    uint32_t *lengths;
    uint8_t *bytes;
    size_t used, room_hashes, room_starts, room_lengths, room_bytes, used_bytes;
};

static void texts_free(struct texts *texts) {
    free(texts->index.slots);
    free(texts->hashes);
    free(texts->starts);
    free(texts->lengths);
    free(texts->bytes);
}

static bool texts_append(struct texts *texts, struct text text, uint64_t hash) {
    size_t used = texts->used;
    if (used >= UINT32_MAX - 2) return false;
    if (!grow((void **)&texts->hashes, &texts->room_hashes, used + 1, sizeof *texts->hashes) ||
        !grow((void **)&texts->starts, &texts->room_starts, used + 1, sizeof *texts->starts) ||
        !grow((void **)&texts->lengths, &texts->room_lengths, used + 1, sizeof *texts->lengths) ||
        !grow((void **)&texts->bytes, &texts->room_bytes, texts->used_bytes + text.length + 1, 1))
        return false;
    memcpy(texts->bytes + texts->used_bytes, text.bytes, text.length);
    texts->hashes[used] = hash;
    texts->starts[used] = texts->used_bytes;
    texts->lengths[used] = text.length;
    texts->used_bytes += text.length;
    texts->used++;
    return true;
}

/* The number of a text; a new one if `add`, else 0 where it is not known. -1 without memory. */
static int64_t texts_number(struct texts *texts, struct text text, uint64_t hash, bool add) {
    if (add ? !index_grow(&texts->index, texts->hashes, texts->used) : texts->index.slots == NULL)
        return add ? -1 : 0;
    size_t at = hash & texts->index.mask;
    for (; texts->index.slots[at] != 0; at = (at + 1) & texts->index.mask) {
        uint32_t number = texts->index.slots[at];
        if (texts->hashes[number - 1] == hash && texts->lengths[number - 1] == text.length &&
            memcmp(texts->bytes + texts->starts[number - 1], text.bytes, text.length) == 0)
            return number;
    }
    if (!add) return 0;
    if (!texts_append(texts, text, hash)) return -1;
    texts->index.slots[at] = (uint32_t)texts->used;
    return (int64_t)texts->used;
}

/* ---- codes: keys as numbers from 0, in the order in which they are met ---- */

/* The code that a hash had last: a guess, which the words of the key confirm. */
struct recent {
    uint32_t tag, code;
};

enum { RECENT_KEYS = 4096 };

struct codes {
    int columns;
    bool direct;                  /* the only column holds the code */
    uint8_t is_text[MOST_KEY_COLUMNS];
    struct texts texts[MOST_KEY_COLUMNS];
    struct index index;
    uint64_t *hashes;             /* of each code's key */
    uint64_t *words;              /* columns + 1 a code: values or numbers of texts, then which are null */
    size_t used, room_hashes, room_words;
    uint32_t part, parts;         /* only the keys of one part, by hash, are coded */
    struct recent recent[RECENT_KEYS];
};

struct block {
    int rows;
    uint32_t code[BLOCK];
    double latency[BLOCK], start[BLOCK], end[BLOCK];
    uint8_t timed[BLOCK], success[BLOCK];
};

struct chosen { /* rows of a block */
    int rows;
    uint16_t row[BLOCK];
};

static void choose_all(struct chosen *chosen, int rows) {
    chosen->rows = rows;
    for (int i = 0; i < rows; i++) chosen->row[i] = (uint16_t)i;
}

static const uint32_t NO_CODE = UINT32_MAX;

static void codes_free(struct codes *codes) {
    for (int column = 0; column < codes->columns; column++) texts_free(&codes->texts[column]);
    free(codes->index.slots);
    free(codes->hashes);
    free(codes->words);
}

/* One key column of the chosen rows of a block as words and as part of their hash. */
static enum status column_words(struct codes *codes, int number, const struct ArrowArray *column, int64_t row,
                                const struct chosen *chosen, bool add, uint64_t *words, uint64_t *nulls,
                                uint64_t *hashes) {
    bool nullable = has_nulls(column);
    const int64_t *values = codes->is_text[number] ? NULL : integers_at(column, row);
    for (int i = 0; i < chosen->rows && values != NULL && !nullable; i++) {
        words[i] = (uint64_t)values[chosen->row[i]];
        hashes[i] = mixed(hashes[i], words[i]);
    }
    for (int i = 0; i < chosen->rows && (values == NULL || nullable); i++) {
        int64_t at = row + chosen->row[i];
        words[i] = 0;
        if (nullable && !is_valid(column, at)) {
            nulls[i] |= UINT64_C(1) << number;
            hashes[i] = mixed(hashes[i], 0);
        } else if (values != NULL) {
            words[i] = (uint64_t)values[chosen->row[i]];
            hashes[i] = mixed(hashes[i], words[i]);
        } else {
            struct text text = text_at(column, at);
            uint64_t hash = hash_of_text(text);
            int64_t found = texts_number(&codes->texts[number], text, hash, add);
            if (found < 0) return NO_MEMORY;
            words[i] = (uint64_t)found; /* 0 for an unknown text equals no key: its null bit is not set */
            hashes[i] = mixed(hashes[i], hash);
        }
    }
    return OK;
}

static enum status codes_append(struct codes *codes, const uint64_t *words, uint64_t hash) {
    size_t width = (size_t)codes->columns + 1;
    if (codes->used >= (UINT32_MAX >> 1) - 1) return FULL;
    if (!grow((void **)&codes->hashes, &codes->room_hashes, codes->used + 1, sizeof *codes->hashes) ||
        !grow((void **)&codes->words, &codes->room_words, (codes->used + 1) * width, sizeof *codes->words))
        return NO_MEMORY;
    memcpy(codes->words + codes->used * width, words, width * sizeof *words);
    codes->hashes[codes->used++] = hash;
    return OK;
}

static inline bool same_words(const uint64_t *one, const uint64_t *other, size_t width) {
    uint64_t differing = 0;
    for (size_t i = 0; i < width; i++) differing |= one[i] ^ other[i];
    return differing == 0;
}

/* The code of one key, found by its words; a new one where it is not known and `add` says so. */
static inline enum status code_of(struct codes *codes, const uint64_t *words, uint64_t hash, bool add,
                                  uint32_t *code) {
    size_t width = (size_t)codes->columns + 1;
    if (codes->index.slots == NULL) {
        if (!add) return UNKNOWN_KEY;
        if (!index_grow(&codes->index, codes->hashes, codes->used)) return NO_MEMORY;
    }
    size_t at = hash & codes->index.mask;
    for (; codes->index.slots[at] != 0; at = (at + 1) & codes->index.mask) {
        uint32_t known = codes->index.slots[at] - 1;
        if (codes->hashes[known] == hash && same_words(codes->words + known * width, words, width)) {
            *code = known;
            return OK;
        }
    }
    if (!add) return UNKNOWN_KEY;
    enum status status = codes_append(codes, words, hash);
    if (status != OK) return status;
    codes->index.slots[at] = (uint32_t)codes->used;
    *code = (uint32_t)codes->used - 1;
    return index_grow(&codes->index, codes->hashes, codes->used) ? OK : NO_MEMORY;
}

static bool of_other_part(const struct codes *codes, uint64_t hash) {
    return codes->parts > 1 && (uint32_t)(((hash >> 32) * codes->parts) >> 32) != codes->part;
}

/* Guesses the codes of rows; `differing` is 0 where the words of the key confirm it. */
static void guess_codes(const struct codes *codes, uint64_t words[][BLOCK], const uint64_t *hashes, int rows,
                        uint32_t *code, uint64_t *differing) {
    size_t width = (size_t)codes->columns + 1;
    for (int i = 0; i < rows; i++) {
        struct recent recent = codes->recent[hashes[i] % RECENT_KEYS];
        code[i] = recent.tag == (uint32_t)(hashes[i] >> 32) ? recent.code : 0;
        differing[i] = codes->used == 0;
    }
    for (size_t word = 0; word < width && codes->used > 0; word++) {
        const uint64_t *known = codes->words + word;
        for (int i = 0; i < rows; i++) differing[i] |= words[word][i] ^ known[code[i] * width];
    }
}

static enum status codes_of_hashes(struct codes *codes, uint64_t words[][BLOCK], uint64_t *hashes,
                                   const struct chosen *chosen, struct block *block, bool add, int64_t first_row,
                                   int64_t *fresh, int64_t *num_fresh) {
    uint64_t key[MOST_KEY_COLUMNS + 1], differing[BLOCK];
    for (int i = 0; i < chosen->rows; i++) hashes[i] = mixed(hashes[i], words[codes->columns][i]);
    guess_codes(codes, words, hashes, chosen->rows, block->code, differing);
    for (int i = 0; i < chosen->rows; i++) {
        if (differing[i] == 0) continue;
        if (of_other_part(codes, hashes[i])) {
            block->code[i] = NO_CODE;
            continue;
        }
        for (int word = 0; word <= codes->columns; word++) key[word] = words[word][i];
        size_t before = codes->used;
        enum status status = code_of(codes, key, hashes[i], add, &block->code[i]);
        if (status != OK) return status;
        codes->recent[hashes[i] % RECENT_KEYS] = (struct recent){(uint32_t)(hashes[i] >> 32), block->code[i]};
        if (codes->used > before && fresh != NULL) fresh[(*num_fresh)++] = first_row + chosen->row[i];
    }
    return OK;
}

/* The codes of the chosen rows of a block. Of each new key the row is told, so that its values can be kept. */
static enum status block_codes(struct codes *codes, struct ArrowArray **columns, int64_t row,
                               const struct chosen *chosen, struct block *block, bool add, int64_t first_row,
                               int64_t *fresh, int64_t *num_fresh) {
    uint64_t words[MOST_KEY_COLUMNS + 1][BLOCK], hashes[BLOCK];
    if (codes->columns == 0 && codes->part > 0) { /* the log as a whole is of the first part */
        for (int i = 0; i < chosen->rows; i++) block->code[i] = NO_CODE;
        return OK;
    }
    if (codes->columns == 0) {
        if (add && codes->used == 0) {
            words[0][0] = 0;
            enum status status = codes_append(codes, words[0], 0);
            if (status != OK) return status;
            if (fresh != NULL) fresh[(*num_fresh)++] = first_row;
        }
        memset(block->code, 0, (size_t)chosen->rows * sizeof block->code[0]);
        return OK;
    }
    uint64_t *nulls = words[codes->columns];
    memset(nulls, 0, (size_t)chosen->rows * sizeof *nulls);
    memset(hashes, 0, (size_t)chosen->rows * sizeof *hashes);
    for (int column = 0; column < codes->columns; column++) {
        enum status status =
            column_words(codes, column, columns[column], row, chosen, add, words[column], nulls, hashes);
        if (status != OK) return status;
    }
    if (!codes->direct)
        return codes_of_hashes(codes, words, hashes, chosen, block, add, first_row, fresh, num_fresh);
    for (int i = 0; i < chosen->rows; i++) {
        if (nulls[i] || words[0][i] >= codes->used) return UNKNOWN_KEY;
        block->code[i] = (uint32_t)words[0][i];
    }
    return OK;
}

/* ---- pages of counts, found by a number ---- */

struct page_slot {
    uint64_t name;
    uint32_t page;
};

struct pages {
    struct page_slot *slots;
    size_t mask, used, room, width; /* width: counts on a page */
    uint32_t *counts;
};

static void pages_free(struct pages *pages) {
    free(pages->slots);
    free(pages->counts);
}

static size_t slot_of(uint64_t name, size_t mask) {
    uint64_t hash = name * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(hash >> 32) & mask;
}

static bool pages_rehash(struct pages *pages, size_t size) {
    struct page_slot *slots = malloc(size * sizeof *slots);
    if (slots == NULL) return false;
    for (size_t at = 0; at < size; at++) slots[at] = (struct page_slot){EMPTY, 0};
    for (size_t old = 0; pages->slots != NULL && old <= pages->mask; old++) {
        if (pages->slots[old].name == EMPTY) continue;
        size_t at = slot_of(pages->slots[old].name, size - 1);
        while (slots[at].name != EMPTY) at = (at + 1) & (size - 1);
        slots[at] = pages->slots[old];
    }
    free(pages->slots);
    pages->slots = slots;
    pages->mask = size - 1;
    return true;
}

/* A new page of zeros in an empty slot. */
static uint32_t pages_append(struct pages *pages, size_t at, uint64_t name) {
    if (pages->used >= UINT32_MAX - 1) return NO_PAGE;
    /* Small tables stay three quarters empty, so that the first slot is nearly always the right one. */
    size_t share = pages->mask < 65535 ? 4 : 2;
    if ((pages->used + 1) * share > pages->mask + 1) {
        if (!pages_rehash(pages, (pages->mask + 1) * 2)) return NO_PAGE;
        at = slot_of(name, pages->mask);
        while (pages->slots[at].name != EMPTY) at = (at + 1) & pages->mask;
    }
    size_t page_size = pages->width * sizeof *pages->counts;
    if (!grow((void **)&pages->counts, &pages->room, pages->used + 1, page_size)) return NO_PAGE;
    memset(pages->counts + pages->used * pages->width, 0, page_size);
    pages->slots[at] = (struct page_slot){name, (uint32_t)pages->used};
    return (uint32_t)pages->used++;
}

/* The page of a name, made where there is none; NO_PAGE without memory. */
static uint32_t page_from(struct pages *pages, uint64_t name, size_t at) {
    while (pages->slots[at].name != name) {
        if (pages->slots[at].name == EMPTY) return pages_append(pages, at, name);
        at = (at + 1) & pages->mask;
    }
    return pages->slots[at].page;
}

static inline uint32_t page_of(struct pages *pages, uint64_t name) {
    if (pages->slots == NULL && !pages_rehash(pages, 64)) return NO_PAGE;
    size_t at = slot_of(name, pages->mask);
    return pages->slots[at].name == name ? pages->slots[at].page : page_from(pages, name, at);
}

/* The name of each page, so that pages are read in the order in which they lie; NULL without memory. */
static uint64_t *page_names(const struct pages *pages) {
    uint64_t *names = malloc((pages->used + 1) * sizeof *names);
    for (size_t at = 0; names != NULL && pages->slots != NULL && at <= pages->mask; at++)
        if (pages->slots[at].name != EMPTY) names[pages->slots[at].page] = pages->slots[at].name;
    return names;
}

static size_t pages_bytes(const struct pages *pages) {
    size_t slots = pages->slots == NULL ? 0 : pages->mask + 1;
    return slots * sizeof *pages->slots + pages->room * pages->width * sizeof *pages->counts;
}

/* ---- the tally ---- */

struct line {                      /* figures of a code's successes, or of its failures */
    uint64_t calls, timed;         /* rows; rows with a latency */
    uint64_t sum_low;              /* latencies in units of 2^-55 ms, a number of 128 bits */
    int64_t sum_high;
    double first_start, last_end;  /* s; infinity and -infinity for none */
    double lowest, highest;        /* ms; likewise */
};

struct rest {                      /* figures of rarer columns, of the same rows */
    uint64_t errors[ERRORS];
    uint64_t sized, size_low;      /* rows with a response size; the sum in bytes, 128 bits */
    int64_t size_high;
};

struct layout { /* the columns of a batch after those of its key, in this order; each may be absent */
    int32_t latency, success, start, end, errors[ERRORS], size, error_class;
    int32_t checks_success, timeline;
    int32_t bucket_shift;          /* trailing bits of a latency that its bucket leaves out, BUCKET_SHIFT or more */
};

struct clock {
    int32_t resolution;            /* 0, 1, 2, 3 for 1, .1, .01, .001 s; 4 for none */
    int32_t any_time;
};

struct tally {
    struct codes codes;
    struct layout layout;
    size_t most_bytes;
    struct line *lines;
    struct rest *rests;
    size_t room_lines, room_rests, lines_used;
    struct pages cells, seconds, timeline;
    struct pages carries;          /* of the counts of `seconds`, which are bytes: how often each began anew */
    uint64_t *excess;              /* of each count of a cell: by how much latencies exceed its start, summed up */
    size_t room_excess, excess_used;
    struct page_slot *last_seconds; /* by page of codes: its last pages of seconds, even and odd, as logs are mostly in order */
    size_t room_last_seconds, last_seconds_used;
    uint64_t rows;
    struct clock starts, ends;
    double window_s;               /* of the timeline; 0 before the first row */
    int64_t first_window, last_window;
    struct codes classes;          /* of pairs of code and error class, whose rows are counted */
    uint64_t *class_calls;
    size_t room_classes;
};

static int128 joined(uint64_t low, int64_t high) {
    return (int128)(((uint128)(uint64_t)high << 64) | low);
}

static void add_joined(uint64_t *low, int64_t *high, int128 more) {
    int128 sum = joined(*low, *high) + more;
    *low = (uint64_t)sum;
    *high = (int64_t)(uint64_t)((uint128)sum >> 64);
}

/* A latency in units of 2^-55 ms: exact from 1/8 ms on, below that to the nearest unit. */
static int128 fixed(double latency) {
    int64_t whole = (int64_t)latency;
    int64_t fraction = llrint((latency - (double)whole) * 36028797018963968.0); /* 2^55 */
    return (int128)whole * (INT64_C(1) << FRACTION_BITS) + fraction;
}

/* The second number may be NaN, which counts as none. */
static double lower(double a, double b) { return b < a ? b : a; }
static double higher(double a, double b) { return b > a ? b : a; }

static int64_t bucket_of(double latency, int shift) {
    if (latency < 0) return FAILED_BUCKET;
    int64_t bits;
    memcpy(&bits, &latency, sizeof bits);
    return bits >> shift;
}

/* By how much a latency exceeds the start of its bucket, in units of 2^-20 of the bucket's width, to the nearest:
 * sums of whole numbers are the same in any order. */
static uint64_t excess_of(double latency, int shift) {
    uint64_t bits;
    memcpy(&bits, &latency, sizeof bits);
    const int left_out = shift - EXCESS_BITS;
    return ((bits & ((UINT64_C(1) << shift) - 1)) + (UINT64_C(1) << (left_out - 1))) >> left_out;
}

/* Room for the excess of each cell. */
static bool make_excess(struct tally *tally) {
    size_t needed = tally->cells.used * BUCKETS_A_PAGE, before = tally->excess_used;
    if (!grow((void **)&tally->excess, &tally->room_excess, needed, sizeof *tally->excess)) return false;
    if (needed > before) memset(tally->excess + before, 0, (needed - before) * sizeof *tally->excess);
    tally->excess_used = needed;
    return true;
}

static bool make_lines(struct tally *tally) {
    size_t needed = tally->codes.used * 2, before = tally->lines_used;
    if (needed <= before) return true;
    if (!grow((void **)&tally->lines, &tally->room_lines, needed, sizeof *tally->lines) ||
        !grow((void **)&tally->rests, &tally->room_rests, needed, sizeof *tally->rests))
        return false;
    for (size_t line = before; line < needed; line++) {
        tally->lines[line] = (struct line){.first_start = INFINITY, .last_end = -INFINITY, .lowest = INFINITY, .highest = -INFINITY};
        memset(&tally->rests[line], 0, sizeof tally->rests[line]);
    }
    tally->lines_used = needed;
    return true;
}

/* Room for the pages of seconds that were met last. */
static bool make_last_seconds(struct tally *tally) {
    size_t needed = 2 * (tally->codes.used / CODES_A_PAGE + 1), before = tally->last_seconds_used;
    if (needed <= before) return true;
    if (!grow((void **)&tally->last_seconds, &tally->room_last_seconds, needed, sizeof *tally->last_seconds))
        return false;
    for (size_t last = before; last < needed; last++) tally->last_seconds[last] = (struct page_slot){EMPTY, NO_PAGE};
    tally->last_seconds_used = needed;
    return true;
}

static size_t bytes_of(const struct tally *tally) {
    size_t width = (size_t)tally->codes.columns + 1;
    size_t slots = tally->codes.index.slots == NULL ? 0 : tally->codes.index.mask + 1;
    size_t bytes = tally->codes.room_words * 8 + tally->codes.room_hashes * 8 + slots * 4 + width;
    for (int column = 0; column < tally->codes.columns; column++)
        bytes += tally->codes.texts[column].room_bytes + tally->codes.texts[column].room_hashes * 28;
    bytes += tally->room_last_seconds * sizeof *tally->last_seconds + tally->room_excess * sizeof *tally->excess;
    bytes += tally->room_lines * (sizeof *tally->lines + sizeof *tally->rests) + tally->room_classes * 64;
    bytes += pages_bytes(&tally->seconds) + pages_bytes(&tally->carries);
    return bytes + pages_bytes(&tally->cells) + pages_bytes(&tally->timeline);
}

/* ---- blocks: from columns to arrays, each value held to its rule ---- */

static bool load_latencies(const struct ArrowArray *column, int64_t row, struct block *block) {
    const double *values = floats_at(column, row);
    int rows = block->rows, broken = 0;
    if (!has_nulls(column)) {
        for (int i = 0; i < rows; i++) {
            double latency = values[i] + 0.0; /* the bits of -0.0 become those of 0.0 */
            block->latency[i] = latency;
            broken |= !((latency >= 0) & (latency < MAX_LATENCY_MS)) & (latency != -1.0);
        }
        memset(block->timed, 1, (size_t)rows);
        return !broken;
    }
    for (int i = 0; i < rows; i++) {
        block->timed[i] = is_valid(column, row + i);
        double latency = block->timed[i] ? values[i] + 0.0 : 0.0;
        block->latency[i] = latency;
        broken |= !((latency >= 0) & (latency < MAX_LATENCY_MS)) & (latency != -1.0);
    }
    return !broken;
}

/* Times in s, NaN for none. */
static bool load_times(const struct ArrowArray *column, int64_t row, int rows, double *times) {
    int broken = 0;
    if (column == NULL || column->null_count == column->length) {
        for (int i = 0; i < rows; i++) times[i] = NAN;
        return true;
    }
    const double *values = floats_at(column, row);
    for (int i = 0; i < rows; i++) times[i] = values[i];
    bool nullable = has_nulls(column);
    for (int i = 0; nullable && i < rows; i++)
        if (!is_valid(column, row + i)) times[i] = 0;
    for (int i = 0; i < rows; i++) broken |= !((times[i] > -MAX_TIME_S) & (times[i] < MAX_TIME_S));
    for (int i = 0; nullable && i < rows; i++)
        if (!is_valid(column, row + i)) times[i] = NAN;
    return !broken;
}

static void load_successes(const struct ArrowArray *column, int64_t row, struct block *block) {
    for (int i = 0; i < block->rows; i++) block->success[i] = bit_at(column, row + i);
    if (!has_nulls(column)) return;
    for (int i = 0; i < block->rows; i++) block->success[i] &= is_valid(column, row + i);
}

/* Rules between columns: no call ends before its start, and none that is logged as a success has the latency -1. */
static bool agree(const struct block *block, bool checks_success) {
    int broken = 0;
    for (int i = 0; i < block->rows; i++) broken |= block->end[i] < block->start[i]; /* not of NaN */
    for (int i = 0; checks_success && i < block->rows; i++) broken |= block->success[i] & (block->latency[i] < 0);
    return !broken;
}

/* Leaves out the rows without a code, those of other parts. */
static void compact(struct block *block, uint8_t *kept) {
    int rows = 0;
    for (int i = 0; i < block->rows; i++) {
        kept[i] = block->code[i] != NO_CODE;
        if (!kept[i]) continue;
        block->code[rows] = block->code[i];
        block->latency[rows] = block->latency[i];
        block->start[rows] = block->start[i];
        block->end[rows] = block->end[i];
        block->timed[rows] = block->timed[i];
        block->success[rows] = block->success[i];
        rows++;
    }
    block->rows = rows;
}

/* ---- counting ---- */

static void count_lines(struct tally *tally, const struct block *block) {
    for (int i = 0; i < block->rows; i++) {
        struct line *line = &tally->lines[2 * (size_t)block->code[i] + block->success[i]];
        line->calls++;
        line->first_start = lower(line->first_start, block->start[i]);
        line->last_end = higher(line->last_end, block->end[i]);
        if (!block->timed[i]) continue;
        line->timed++;
        add_joined(&line->sum_low, &line->sum_high, fixed(block->latency[i]));
        line->lowest = lower(line->lowest, block->latency[i]);
        line->highest = higher(line->highest, block->latency[i]);
    }
}

/* The pages of a block's names, in three loops so that the memory of one row is fetched while others are at work. */
static bool find_pages(struct pages *pages, const uint64_t *name, int rows, uint32_t *page) {
    if (pages->slots == NULL && !pages_rehash(pages, 64)) return false;
    for (int i = 0; i < rows; i++) PREFETCH(&pages->slots[slot_of(name[i], pages->mask)]);
    for (int i = 0; i < rows; i++) {
        page[i] = page_of(pages, name[i]);
        if (page[i] == NO_PAGE) return false;
    }
    for (int i = 0; i < rows; i++) PREFETCH(&pages->counts[(size_t)page[i] * pages->width]);
    return true;
}

static bool count_cells(struct tally *tally, const struct block *block) {
    uint64_t name[BLOCK];
    uint32_t page[BLOCK];
    uint64_t excess[BLOCK];
    uint8_t place[BLOCK];
    int rows = 0, shift = tally->layout.bucket_shift;
    for (int i = 0; i < block->rows; i++) {
        uint64_t bucket = (uint64_t)bucket_of(block->latency[i], shift);
        uint64_t line = 2 * (uint64_t)block->code[i] + block->success[i];
        name[rows] = line << LINE_SHIFT | bucket / BUCKETS_A_PAGE;
        place[rows] = bucket % BUCKETS_A_PAGE;
        excess[rows] = excess_of(block->latency[i], shift);
        rows += block->timed[i];
    }
    if (!find_pages(&tally->cells, name, rows, page) || !make_excess(tally)) return false;
    for (int i = 0; i < rows; i++) {
        size_t cell = (size_t)page[i] * BUCKETS_A_PAGE + place[i];
        tally->cells.counts[cell]++;
        tally->excess[cell] += excess[i];
    }
    return true;
}

static uint64_t second_of(double time) { return (uint64_t)((int64_t)time + SECOND_OFFSET); }

/* A page has some seconds of some codes: those of calls at the same time lie side by side. */
static uint64_t seconds_name(uint32_t code, uint64_t second) {
    return (uint64_t)(code / CODES_A_PAGE) << 33 | second / SECONDS_A_PAGE;
}

/* Where on its page the starts of a code's second are counted; its ends and completions follow. */
static size_t second_place(uint32_t code, uint64_t second) {
    return ((size_t)(code % CODES_A_PAGE) * SECONDS_A_PAGE + second % SECONDS_A_PAGE) * SECOND_FIGURES;
}

static uint8_t *second_bytes(const struct pages *seconds, uint32_t page) {
    return (uint8_t *)seconds->counts + (size_t)page * SECOND_BYTES;
}

/* Notes that a byte began anew at 0, once or more often. Bytes keep the pages of logs with few calls a second small. */
static bool carry(struct tally *tally, uint64_t name, size_t place, uint32_t times) {
    uint32_t page = page_of(&tally->carries, name);
    if (page == NO_PAGE) return false;
    tally->carries.counts[(size_t)page * SECOND_BYTES + place] += times;
    return true;
}

static inline bool count_second(struct tally *tally, uint64_t name, uint32_t page, size_t place, uint8_t calls) {
    uint8_t *count = second_bytes(&tally->seconds, page) + place;
    *count = (uint8_t)(*count + calls);
    return *count >= calls || carry(tally, name, place, 1);
}

/* Ends and completions, which are the ends of successes, by whole second; `page` and `name` are those of the ends. */
static bool count_ends(struct tally *tally, const struct block *block, uint64_t *name, uint32_t *page) {
    int rows = 0, row[BLOCK];
    for (int i = 0; i < block->rows; i++) {
        double end = block->end[i];
        row[rows] = i;
        name[rows] = seconds_name(block->code[i], second_of(end == end ? end : 0));
        rows += end == end;
    }
    for (int i = 0; i < rows; i++) {
        struct page_slot *last = &tally->last_seconds[2 * (size_t)(block->code[row[i]] / CODES_A_PAGE) + name[i] % 2];
        if (last->name != name[i]) *last = (struct page_slot){name[i], page_of(&tally->seconds, name[i])};
        page[i] = last->page;
        if (page[i] == NO_PAGE) return false;
    }
    for (int i = 0; i < rows; i++) {
        size_t place = second_place(block->code[row[i]], second_of(block->end[row[i]]));
        if (!count_second(tally, name[i], page[i], place + 1, 1) ||
            !count_second(tally, name[i], page[i], place + 2, block->success[row[i]]))
            return false;
    }
    for (int i = rows - 1; rows < block->rows && i >= 0; i--) { /* by row again */
        name[row[i]] = name[i];
        page[row[i]] = page[i];
    }
    for (int i = 0; rows < block->rows && i < block->rows; i++)
        if (block->end[i] != block->end[i]) name[i] = EMPTY;
    return true;
}

/* Starts by whole second, which mostly lie on the page of their end. */
static bool count_starts(struct tally *tally, const struct block *block, const uint64_t *end_name,
                         const uint32_t *end_page) {
    for (int i = 0; i < block->rows; i++) {
        double start = block->start[i];
        if (start != start) continue;
        uint64_t second = second_of(start), name = seconds_name(block->code[i], second);
        uint32_t page = name == end_name[i] ? end_page[i] : page_of(&tally->seconds, name);
        if (page == NO_PAGE || !count_second(tally, name, page, second_place(block->code[i], second), 1)) return false;
    }
    return true;
}

static bool count_seconds(struct tally *tally, const struct block *block) {
    uint64_t name[BLOCK];
    uint32_t page[BLOCK];
    return make_last_seconds(tally) && count_ends(tally, block, name, page) && count_starts(tally, block, name, page);
}

static double rounded(double x) { /* to the nearest integer, for |x| < 2^51; as one addition and one subtraction */
    return (x + 6755399441055744.0) - 6755399441055744.0;
}

static bool all_multiples(const double *times, int rows, double parts_a_second) {
    int others = 0;
    for (int i = 0; i < rows; i++) {
        double x = times[i];
        others |= (rounded(x * parts_a_second) / parts_a_second != x) & (x == x);
    }
    return !others;
}

static void watch_clock(struct clock *clock, const double *times, int rows) {
    static const double PARTS[] = {1, 10, 100, 1000};
    for (int i = 0; !clock->any_time && i < rows; i++) clock->any_time = times[i] == times[i];
    while (clock->resolution < 4 && !all_multiples(times, rows, PARTS[clock->resolution])) clock->resolution++;
}

static void merge_clocks(struct clock *into, const struct clock *from) {
    if (from->resolution > into->resolution) into->resolution = from->resolution;
    into->any_time |= from->any_time;
}

/* Counts one error column's calls. Most flags are 0, so eight are looked at together. */
static bool count_errors(struct tally *tally, int error, const struct ArrowArray *column, int64_t row, int rows,
                         const struct block *block, const uint8_t *kept) {
    const int8_t *flags = (const int8_t *)column->buffers[1] + column->offset + row;
    bool nullable = has_nulls(column);
    for (int i = 0, at = 0; i < rows; i++) {
        uint64_t eight = 1;
        if (kept == NULL && i + 8 <= rows) memcpy(&eight, flags + i, sizeof eight);
        if (eight == 0) {
            i += 7;
            at += 8;
            continue;
        }
        int flag = nullable && !is_valid(column, row + i) ? 0 : flags[i];
        if ((unsigned)flag > 1) return false;
        if (kept != NULL && !kept[i]) continue;
        if (flag) tally->rests[2 * (size_t)block->code[at] + block->success[at]].errors[error]++;
        at++;
    }
    return true;
}

static bool count_rests(struct tally *tally, struct ArrowArray **columns, int64_t row, int rows,
                        const struct block *block, const uint8_t *kept) {
    const struct layout *layout = &tally->layout;
    for (int error = 0; error < ERRORS; error++) {
        int32_t at = layout->errors[error];
        if (at >= 0 && !count_errors(tally, error, columns[at], row, rows, block, kept)) return false;
    }
    if (layout->size < 0) return true;
    const struct ArrowArray *column = columns[layout->size];
    const int64_t *sizes = integers_at(column, row);
    for (int i = 0, at = 0; i < rows; i++) {
        bool valid = is_valid(column, row + i);
        if (valid && sizes[i] < 0) return false;
        if (kept != NULL && !kept[i]) continue;
        if (valid) {
            struct rest *rest = &tally->rests[2 * (size_t)block->code[at] + block->success[at]];
            rest->sized++;
            add_joined(&rest->size_low, &rest->size_high, sizes[i]);
        }
        at++;
    }
    return true;
}

/* Pairs of code and error class as keys of two columns, whose rows are counted. */
static enum status count_classes(struct tally *tally, const struct ArrowArray *column, int64_t row, int rows,
                                 const struct block *block, const uint8_t *kept) {
    if (column->null_count == column->length) return OK;
    for (int i = 0, at = 0; i < rows; i++) {
        if (kept != NULL && !kept[i]) continue;
        uint64_t code = block->code[at++];
        if (has_nulls(column) && !is_valid(column, row + i)) continue;
        struct text text = text_at(column, row + i);
        uint64_t hash = hash_of_text(text);
        int64_t number = texts_number(&tally->classes.texts[1], text, hash, true);
        if (number < 0) return NO_MEMORY;
        uint64_t words[3] = {code, (uint64_t)number, 0};
        uint32_t pair = 0;
        size_t before = tally->classes.used;
        enum status status = code_of(&tally->classes, words, mixed(mixed(0, code), (uint64_t)number), true, &pair);
        if (status != OK) return status;
        if (!grow((void **)&tally->class_calls, &tally->room_classes, tally->classes.used, sizeof(uint64_t)))
            return NO_MEMORY;
        if (tally->classes.used > before) tally->class_calls[pair] = 0;
        tally->class_calls[pair]++;
    }
    return OK;
}

/* ---- the timeline: successes of all keys by window of time and sixteenth of a doubling ---- */

static uint8_t part_of_mantissa[256]; /* floor(16 * log2(1 + m / 256)), equally high on a logarithmic axis */

static void make_parts(void) {
    for (int m = 0; m < 256; m++)
        part_of_mantissa[m] = (uint8_t)floor(PARTS_AN_OCTAVE * log2(1 + m / 256.0) + 1e-9);
}

static uint64_t timeline_name(int64_t window, uint64_t octave) {
    return ((uint64_t)window & WINDOW_MASK) << 11 | octave;
}

static int64_t window_of_name(const struct tally *tally, uint64_t name) {
    int64_t low = (int64_t)(name >> 11) & WINDOW_MASK;
    return tally->first_window + ((low - tally->first_window) & WINDOW_MASK);
}

static int64_t floored(double x) {
    int64_t whole = (int64_t)x;
    return whole - (x < (double)whole);
}

static int64_t half(int64_t window) { return (window - (window & 1)) / 2; }

/* Windows twice as wide. */
static bool widen(struct tally *tally) {
    struct pages wide = {.width = PARTS_AN_OCTAVE};
    struct pages *narrow = &tally->timeline;
    for (size_t at = 0; narrow->slots != NULL && at <= narrow->mask; at++) {
        if (narrow->slots[at].name == EMPTY) continue;
        uint64_t name = narrow->slots[at].name;
        uint64_t joint = timeline_name(half(window_of_name(tally, name)), name & 2047);
        uint32_t page = page_of(&wide, joint);
        if (page == NO_PAGE) {
            pages_free(&wide);
            return false;
        }
        for (int part = 0; part < PARTS_AN_OCTAVE; part++)
            wide.counts[(size_t)page * PARTS_AN_OCTAVE + part] +=
                narrow->counts[(size_t)narrow->slots[at].page * PARTS_AN_OCTAVE + part];
    }
    pages_free(narrow);
    *narrow = wide;
    tally->window_s *= 2;
    tally->first_window = half(tally->first_window);
    tally->last_window = half(tally->last_window);
    return true;
}

/* Makes windows wide enough for one more. */
static bool cover(struct tally *tally, double end, int64_t *window) {
    while (true) {
        *window = (int64_t)floor(end / tally->window_s);
        int64_t first = *window < tally->first_window ? *window : tally->first_window;
        int64_t last = *window > tally->last_window ? *window : tally->last_window;
        if (last - first < MOST_WINDOWS) {
            tally->first_window = first;
            tally->last_window = last;
            return true;
        }
        if (!widen(tally)) return false;
    }
}

/* Makes windows wide enough for all ends of a block; false without memory. */
static bool cover_block(struct tally *tally, const struct block *block) {
    double first = INFINITY, last = -INFINITY;
    int64_t ignored;
    for (int i = 0; i < block->rows; i++) {
        first = lower(first, block->end[i]);
        last = higher(last, block->end[i]);
    }
    if (first > last) return true; /* no row has an end */
    if (tally->window_s == 0) {
        tally->window_s = 0.0078125; /* 2^-7 s, which doubles as the log gets longer */
        tally->first_window = tally->last_window = (int64_t)floor(first / tally->window_s);
    }
    return cover(tally, first, &ignored) && cover(tally, last, &ignored);
}

static bool count_timeline(struct tally *tally, const struct block *block) {
    uint64_t name[BLOCK];
    uint32_t page[BLOCK];
    uint8_t part[BLOCK];
    int rows = 0;
    if (!cover_block(tally, block)) return false;
    double windows_a_second = 1 / tally->window_s; /* exact, as both are powers of two */
    for (int i = 0; i < block->rows; i++) {
        double end = block->end[i];
        uint64_t bucket = (uint64_t)bucket_of(block->latency[i], BUCKET_SHIFT);
        int64_t window = floored(end == end ? end * windows_a_second : 0);
        name[rows] = timeline_name(window, bucket >> 8);
        part[rows] = part_of_mantissa[bucket & 255];
        rows += block->success[i] & block->timed[i] & (block->latency[i] >= 0) & (end == end);
    }
    if (!find_pages(&tally->timeline, name, rows, page)) return false;
    for (int i = 0; i < rows; i++) tally->timeline.counts[(size_t)page[i] * PARTS_AN_OCTAVE + part[i]]++;
    return true;
}

/* ---- adding a batch ---- */

static enum status add_block(struct tally *tally, struct ArrowArray **columns, int64_t row, struct block *block,
                             int64_t first_row, uint32_t *out, int64_t *fresh, int64_t *num_fresh) {
    const struct layout *layout = &tally->layout;
    struct ArrowArray *start = layout->start < 0 ? NULL : columns[layout->start];
    struct ArrowArray *end = layout->end < 0 ? NULL : columns[layout->end];
    int rows = block->rows;
    uint8_t kept[BLOCK];
    if (!load_latencies(columns[layout->latency], row, block) || !load_times(start, row, rows, block->start) ||
        !load_times(end, row, rows, block->end))
        return BROKEN_ROW;
    load_successes(columns[layout->success], row, block);
    if (!agree(block, layout->checks_success)) return BROKEN_ROW;
    struct chosen all;
    choose_all(&all, rows);
    enum status status = block_codes(&tally->codes, columns, row, &all, block, true, first_row, fresh, num_fresh);
    if (status != OK) return status;
    if (out != NULL) memcpy(out + first_row, block->code, (size_t)rows * sizeof *out);
    if (tally->starts.resolution < 4) watch_clock(&tally->starts, block->start, rows);
    if (tally->ends.resolution < 4) watch_clock(&tally->ends, block->end, rows);
    if (tally->codes.parts > 1) compact(block, kept);
    const uint8_t *some = tally->codes.parts > 1 ? kept : NULL; /* NULL: all rows are counted here */
    if (!make_lines(tally)) return NO_MEMORY;
    count_lines(tally, block);
    if (!count_rests(tally, columns, row, rows, block, some)) return BROKEN_ROW;
    if (!count_cells(tally, block)) return NO_MEMORY;
    if ((start || end) && !count_seconds(tally, block)) return NO_MEMORY;
    if (layout->timeline && end && !count_timeline(tally, block)) return NO_MEMORY;
    if (layout->error_class >= 0)
        return count_classes(tally, columns[layout->error_class], row, rows, block, some);
    return OK;
}

static bool is_format(const struct ArrowSchema *schema, int column, const char *format) {
    return column < schema->n_children && strcmp(schema->children[column]->format, format) == 0;
}

static bool fits(const struct ArrowSchema *schema, const struct codes *codes, const struct layout *layout) {
    bool good = strcmp(schema->format, "+s") == 0;
    for (int column = 0; column < codes->columns; column++)
        good &= is_format(schema, column, codes->is_text[column] ? "vu" : "l");
    const int32_t floats[] = {layout->latency, layout->start, layout->end};
    for (int i = 0; i < 3; i++) good &= floats[i] < 0 || is_format(schema, floats[i], "g");
    for (int i = 0; i < ERRORS; i++) good &= layout->errors[i] < 0 || is_format(schema, layout->errors[i], "c");
    good &= layout->size < 0 || is_format(schema, layout->size, "l");
    good &= layout->error_class < 0 || is_format(schema, layout->error_class, "vu");
    good &= layout->success < 0 || is_format(schema, layout->success, "b");
    return good;
}

static bool stream_fits(struct ArrowArrayStream *stream, const struct codes *codes, const struct layout *layout) {
    struct ArrowSchema schema = {0};
    if (stream->get_schema(stream, &schema) != 0) return false;
    bool good = fits(&schema, codes, layout);
    if (schema.release != NULL) schema.release(&schema);
    return good;
}

/* Takes a block of rows of a batch, of which `first_row` come before in the stream. */
typedef enum status (*step)(void *state, struct ArrowArray **columns, int64_t row, int rows, int64_t first_row);

/* Hands all rows of a stream to a step, block by block, until one goes wrong. */
static enum status each_block(struct ArrowArrayStream *stream, const struct codes *codes, const struct layout *layout,
                              step take, void *state) {
    if (!stream_fits(stream, codes, layout)) return WRONG_COLUMNS;
    enum status status = OK;
    int64_t first_row = 0;
    while (status == OK) {
        struct ArrowArray batch = {0};
        if (stream->get_next(stream, &batch) != 0) return WRONG_COLUMNS;
        if (batch.release == NULL) break;
        if (batch.offset != 0) status = WRONG_COLUMNS;
        for (int64_t row = 0; status == OK && row < batch.length; row += BLOCK) {
            int rows = (int)(batch.length - row < BLOCK ? batch.length - row : BLOCK);
            status = take(state, batch.children, row, rows, first_row + row);
        }
        first_row += batch.length;
        batch.release(&batch);
    }
    return status;
}

struct adding {
    struct tally *tally;
    struct codes *codes;
    uint32_t *out;
    int64_t *fresh, *num_fresh;
    struct block block;
};

static enum status add_rows(void *state, struct ArrowArray **columns, int64_t row, int rows, int64_t first_row) {
    struct adding *to = state;
    struct tally *tally = to->tally;
    to->block.rows = rows;
    enum status status = add_block(tally, columns, row, &to->block, first_row, to->out, to->fresh, to->num_fresh);
    tally->rows += (uint64_t)rows;
    return status == OK && bytes_of(tally) > tally->most_bytes ? FULL : status;
}

/* Adds all rows of a stream. `out` receives each row's code, `fresh` the rows of new keys. */
API int32_t tally_add(struct tally *tally, struct ArrowArrayStream *stream, uint32_t *out, int64_t *fresh,
                      int64_t *num_fresh) {
    struct adding adding = {.tally = tally, .out = out, .fresh = fresh, .num_fresh = num_fresh};
    *num_fresh = 0;
    return (int32_t)each_block(stream, &tally->codes, &tally->layout, add_rows, &adding);
}

static enum status learn_rows(void *state, struct ArrowArray **columns, int64_t row, int rows, int64_t first_row) {
    struct adding *to = state;
    struct chosen all;
    choose_all(&all, rows);
    enum status status =
        block_codes(to->codes, columns, row, &all, &to->block, true, first_row, to->fresh, to->num_fresh);
    if (to->out != NULL) memcpy(to->out + first_row, to->block.code, (size_t)rows * sizeof *to->out);
    return status;
}

/* Codes the rows of a stream that has key columns alone. */
static enum status learn(struct codes *codes, struct ArrowArrayStream *stream, uint32_t *out, int64_t *fresh,
                         int64_t *num_fresh) {
    static const struct layout NOTHING = {-1, -1, -1, -1, {-1, -1, -1}, -1, -1, 0, 0, BUCKET_SHIFT};
    struct adding adding = {.codes = codes, .out = out, .fresh = fresh, .num_fresh = num_fresh};
    return each_block(stream, codes, &NOTHING, learn_rows, &adding);
}

/* Gives keys their codes without counting anything; see `tally_add`. */
API int32_t tally_learn(struct tally *tally, struct ArrowArrayStream *stream, uint32_t *out, int64_t *fresh,
                        int64_t *num_fresh) {
    static const uint64_t WHOLE_LOG[1] = {0};
    *num_fresh = 0;
    if (tally->codes.columns > 0) return (int32_t)learn(&tally->codes, stream, out, fresh, num_fresh);
    return tally->codes.used > 0 ? OK : (int32_t)codes_append(&tally->codes, WHOLE_LOG, 0);
}

/* ---- making, merging and reading tallies ---- */

API int32_t interface_version(void) { return INTERFACE_VERSION; }

/* Gives memory that is free back to the system: GNU's C library keeps what lies between used parts. */
API void release_memory(void) {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}

static bool codes_init(struct codes *codes, int32_t columns, const uint8_t *is_text, uint32_t part, uint32_t parts) {
    if (columns < 0 || columns > MOST_KEY_COLUMNS) return false;
    codes->columns = columns;
    for (int column = 0; column < columns; column++) codes->is_text[column] = is_text[column];
    codes->part = part;
    codes->parts = parts;
    return true;
}

static bool has_shift(const struct layout *layout) {
    return layout->bucket_shift >= BUCKET_SHIFT && layout->bucket_shift <= 52;
}

API void tally_free(struct tally *tally) {
    if (tally == NULL) return;
    codes_free(&tally->codes);
    codes_free(&tally->classes);
    free(tally->lines);
    free(tally->rests);
    free(tally->class_calls);
    free(tally->excess);
    free(tally->last_seconds);
    pages_free(&tally->cells);
    pages_free(&tally->seconds);
    pages_free(&tally->carries);
    pages_free(&tally->timeline);
    free(tally);
}

API struct tally *tally_new(int32_t columns, const uint8_t *is_text, const struct layout *layout,
                            uint64_t most_bytes, uint32_t part, uint32_t parts) {
    static const uint8_t PAIR[] = {0, 1};
    struct tally *tally = calloc(1, sizeof *tally);
    if (tally == NULL) return NULL;
    tally->layout = *layout;
    tally->most_bytes = most_bytes;
    tally->cells.width = BUCKETS_A_PAGE;
    tally->seconds.width = SECOND_BYTES / sizeof *tally->seconds.counts;
    tally->carries.width = SECOND_BYTES;
    tally->timeline.width = PARTS_AN_OCTAVE;
    make_parts();
    if (!has_shift(layout) || !codes_init(&tally->codes, columns, is_text, part, parts) ||
        !codes_init(&tally->classes, 2, PAIR, 0, 1)) {
        tally_free(tally);
        return NULL;
    }
    return tally;
}

static uint64_t recoded(uint64_t name, const uint32_t *code, int shift, int doubled) {
    uint64_t owner = name >> shift, rest = name & ((UINT64_C(1) << shift) - 1);
    uint64_t mapped = doubled ? 2 * (uint64_t)code[owner / 2] + owner % 2 : code[owner];
    return mapped << shift | rest;
}

static bool merge_pages(struct pages *into, const struct pages *from, const uint32_t *code, int shift, int doubled) {
    for (size_t at = 0; from->slots != NULL && at <= from->mask; at++) {
        uint64_t name = from->slots[at].name;
        if (name == EMPTY) continue;
        uint32_t page = page_of(into, recoded(name, code, shift, doubled));
        if (page == NO_PAGE) return false;
        uint32_t *sums = into->counts + (size_t)page * into->width;
        const uint32_t *more = from->counts + (size_t)from->slots[at].page * from->width;
        for (size_t i = 0; i < into->width; i++) sums[i] += more[i];
    }
    return true;
}

/* After the cells themselves, so that each has its page. */
static bool merge_excess(struct tally *into, const struct tally *from, const uint32_t *code) {
    if (!make_excess(into)) return false;
    for (size_t at = 0; from->cells.slots != NULL && at <= from->cells.mask; at++) {
        if (from->cells.slots[at].name == EMPTY) continue;
        size_t page = page_of(&into->cells, recoded(from->cells.slots[at].name, code, LINE_SHIFT, true));
        uint64_t *sums = into->excess + page * BUCKETS_A_PAGE;
        const uint64_t *more = from->excess + (size_t)from->cells.slots[at].page * BUCKETS_A_PAGE;
        for (int i = 0; i < BUCKETS_A_PAGE; i++) sums[i] += more[i];
    }
    return true;
}

static void merge_lines(struct tally *into, const struct tally *from, const uint32_t *code) {
    for (size_t number = 0; number < from->lines_used; number++) {
        const struct line *more = &from->lines[number];
        const struct rest *more_rest = &from->rests[number];
        size_t target = 2 * (size_t)code[number / 2] + number % 2;
        struct line *line = &into->lines[target];
        struct rest *rest = &into->rests[target];
        line->calls += more->calls;
        line->timed += more->timed;
        add_joined(&line->sum_low, &line->sum_high, joined(more->sum_low, more->sum_high));
        line->first_start = lower(line->first_start, more->first_start);
        line->last_end = higher(line->last_end, more->last_end);
        line->lowest = lower(line->lowest, more->lowest);
        line->highest = higher(line->highest, more->highest);
        for (int error = 0; error < ERRORS; error++) rest->errors[error] += more_rest->errors[error];
        rest->sized += more_rest->sized;
        add_joined(&rest->size_low, &rest->size_high, joined(more_rest->size_low, more_rest->size_high));
    }
}

static enum status merge_classes(struct tally *into, const struct tally *from, const uint32_t *code) {
    const struct texts *texts = &from->classes.texts[1];
    for (size_t pair = 0; pair < from->classes.used; pair++) {
        const uint64_t *words = from->classes.words + 3 * pair;
        size_t number = (size_t)words[1] - 1;
        struct text text = {texts->bytes + texts->starts[number], texts->lengths[number]};
        int64_t own = texts_number(&into->classes.texts[1], text, texts->hashes[number], true);
        if (own < 0) return NO_MEMORY;
        uint64_t mapped[3] = {code[words[0]], (uint64_t)own, 0};
        uint32_t found = 0;
        size_t before = into->classes.used;
        uint64_t hash = mixed(mixed(0, mapped[0]), mapped[1]);
        enum status status = code_of(&into->classes, mapped, hash, true, &found);
        if (status != OK) return status;
        if (!grow((void **)&into->class_calls, &into->room_classes, into->classes.used, sizeof(uint64_t)))
            return NO_MEMORY;
        if (into->classes.used > before) into->class_calls[found] = 0;
        into->class_calls[found] += from->class_calls[pair];
    }
    return OK;
}

static bool merge_timelines(struct tally *into, struct tally *from) {
    if (from->window_s == 0) return true;
    if (into->window_s == 0) {
        into->window_s = from->window_s;
        into->first_window = from->first_window;
        into->last_window = from->last_window;
    }
    double first = (double)from->first_window * from->window_s;
    double last = (double)from->last_window * from->window_s;
    int64_t ignored;
    while (into->window_s < from->window_s)
        if (!widen(into)) return false;
    if (!cover(into, first, &ignored) || !cover(into, last, &ignored)) return false;
    while (from->window_s < into->window_s)
        if (!widen(from)) return false;
    static const uint32_t OF_ALL[] = {0};
    return merge_pages(&into->timeline, &from->timeline, OF_ALL, 20, false);
}

/* Adds one code's seconds of a page, from the first on, and how often each count of them began anew (NULL: never). */
static bool add_seconds(struct tally *into, uint32_t code, uint64_t first, const uint8_t *more,
                        const uint32_t *carried) {
    static const uint8_t NONE[SECONDS_A_PAGE * SECOND_FIGURES];
    if (carried == NULL && memcmp(more, NONE, sizeof NONE) == 0) return true;
    uint64_t name = seconds_name(code, first);
    uint32_t page = page_of(&into->seconds, name);
    if (page == NO_PAGE) return false;
    size_t place = second_place(code, first);
    uint8_t *sums = second_bytes(&into->seconds, page) + place;
    for (size_t i = 0; i < sizeof NONE; i++) {
        unsigned sum = (unsigned)sums[i] + more[i];
        uint32_t times = (sum > UINT8_MAX) + (carried == NULL ? 0 : carried[i]);
        sums[i] = (uint8_t)sum;
        if (times > 0 && !carry(into, name, place + i, times)) return false;
    }
    return true;
}

static const uint32_t *carries_of(const struct tally *tally, uint64_t name) {
    const struct pages *carries = &tally->carries;
    if (carries->slots == NULL) return NULL;
    size_t at = slot_of(name, carries->mask);
    while (carries->slots[at].name != name && carries->slots[at].name != EMPTY) at = (at + 1) & carries->mask;
    if (carries->slots[at].name == EMPTY) return NULL;
    return carries->counts + (size_t)carries->slots[at].page * SECOND_BYTES;
}

static bool merge_seconds(struct tally *into, const struct tally *from, const uint32_t *code) {
    uint64_t *names = page_names(&from->seconds);
    if (names == NULL) return false;
    bool good = true;
    for (size_t number = 0; good && number < from->seconds.used; number++) {
        uint64_t first = (names[number] & 0x1FFFFFFFF) * SECONDS_A_PAGE, owner = (names[number] >> 33) * CODES_A_PAGE;
        const uint8_t *more = second_bytes(&from->seconds, (uint32_t)number);
        const uint32_t *carried = carries_of(from, names[number]);
        for (uint32_t i = 0; good && i < CODES_A_PAGE && owner + i < from->codes.used; i++) {
            size_t place = second_place(i, 0);
            good = add_seconds(into, code[owner + i], first, more + place, carried == NULL ? NULL : carried + place);
        }
    }
    free(names);
    return good;
}

/* Adds a tally to another; `code` gives each of its codes the other's. Together they may not have 2^32 rows. */
API int32_t tally_merge(struct tally *into, struct tally *from, const uint32_t *code) {
    for (size_t own = 0; own < from->codes.used; own++)
        if (code[own] >= into->codes.used) return UNKNOWN_KEY;
    if (!make_lines(into)) return NO_MEMORY;
    merge_lines(into, from, code);
    if (!merge_pages(&into->cells, &from->cells, code, LINE_SHIFT, true) || !merge_excess(into, from, code) ||
        !merge_seconds(into, from, code) || !merge_timelines(into, from))
        return NO_MEMORY;
    merge_clocks(&into->starts, &from->starts);
    merge_clocks(&into->ends, &from->ends);
    into->rows += from->rows;
    return merge_classes(into, from, code);
}

struct sizes {
    uint64_t rows, keys, cells, seconds, timeline, classes, class_bytes, bytes;
    double window_s;
    struct clock starts, ends;
};

/* How long the arrays may have to be that the functions below fill; these return how many elements they did. */
API void tally_sizes(const struct tally *tally, struct sizes *sizes) {
    *sizes = (struct sizes){
        .rows = tally->rows,
        .keys = tally->codes.used,
        .cells = tally->cells.used * BUCKETS_A_PAGE,
        .seconds = tally->seconds.used * (CODES_A_PAGE * SECONDS_A_PAGE),
        .timeline = tally->timeline.used * PARTS_AN_OCTAVE,
        .classes = tally->classes.used,
        .class_bytes = tally->classes.texts[1].used_bytes,
        .bytes = bytes_of(tally),
        .window_s = tally->window_s,
        .starts = tally->starts,
        .ends = tally->ends,
    };
}

/* How many keys were met: unlike the other sizes this is known without a look at the counts. */
API uint64_t tally_keys(const struct tally *tally) { return tally->codes.used; }

/* Two lines a code, failures first, each the 8 + 6 numbers of `line` and `rest`. */
API void tally_lines(const struct tally *tally, struct line *lines, struct rest *rests) {
    if (tally->lines_used == 0) return;
    memcpy(lines, tally->lines, tally->lines_used * sizeof *lines);
    memcpy(rests, tally->rests, tally->lines_used * sizeof *rests);
}

static int by_name(const void *one, const void *other) {
    uint64_t a = ((const struct page_slot *)one)->name, b = ((const struct page_slot *)other)->name;
    return (a > b) - (a < b);
}

/* Cells by ascending line and bucket, -1 for FAILED_BUCKET; `code` gives each code the one to tell, each
 * another. `excess`: sums of `excess_of`. */
API int64_t tally_cells(const struct tally *tally, const int64_t *code, int64_t *line, int64_t *bucket, int64_t *count,
                        int64_t *excess) {
    enum { BUCKET_PAGES = 1 << LINE_SHIFT, FAILED_PAGE = FAILED_BUCKET / BUCKETS_A_PAGE };
    const struct pages *pages = &tally->cells;
    struct page_slot *order = malloc((pages->used + 1) * sizeof *order);
    size_t used = 0, found = 0;
    if (order == NULL) return -NO_MEMORY;
    for (size_t at = 0; pages->slots != NULL && at <= pages->mask; at++) {
        uint64_t name = pages->slots[at].name, own = name >> LINE_SHIFT;
        if (name == EMPTY) continue;
        uint64_t told = 2 * (uint64_t)code[own / 2] + own % 2;
        uint64_t after_failed = (name + 1) % BUCKET_PAGES; /* the page of FAILED_BUCKET, the last, comes first */
        order[used++] = (struct page_slot){told << LINE_SHIFT | after_failed, pages->slots[at].page};
    }
    qsort(order, used, sizeof *order, by_name);
    for (size_t at = 0; at < used; at++) {
        uint64_t page = (order[at].name + FAILED_PAGE) % BUCKET_PAGES;
        for (int place = 0; place < BUCKETS_A_PAGE; place++) {
            size_t cell = (size_t)order[at].page * BUCKETS_A_PAGE + place;
            if (pages->counts[cell] == 0) continue;
            excess[found] = (int64_t)tally->excess[cell];
            line[found] = (int64_t)(order[at].name >> LINE_SHIFT);
            int64_t number = (int64_t)page * BUCKETS_A_PAGE + place;
            bucket[found] = number == FAILED_BUCKET ? -1 : number;
            count[found++] = pages->counts[cell];
        }
    }
    free(order);
    return (int64_t)found;
}

API int64_t tally_seconds(const struct tally *tally, int64_t *code, int64_t *second, int64_t *starts, int64_t *ends,
                          int64_t *completions) {
    uint64_t *names = page_names(&tally->seconds);
    if (names == NULL) return -NO_MEMORY;
    size_t used = 0;
    for (size_t number = 0; number < tally->seconds.used; number++) {
        uint64_t owner = (names[number] >> 33) * CODES_A_PAGE, first = (names[number] & 0x1FFFFFFFF) * SECONDS_A_PAGE;
        const uint32_t *carried = carries_of(tally, names[number]);
        const uint8_t *bytes = second_bytes(&tally->seconds, (uint32_t)number);
        for (int place = 0; place < CODES_A_PAGE * SECONDS_A_PAGE; place++) {
            int64_t counts[SECOND_FIGURES];
            for (int i = 0; i < SECOND_FIGURES; i++) {
                size_t at = (size_t)place * SECOND_FIGURES + i;
                counts[i] = bytes[at] + (carried == NULL ? 0 : (int64_t)carried[at] << 8);
            }
            if ((counts[0] | counts[1] | counts[2]) == 0) continue;
            code[used] = (int64_t)owner + place / SECONDS_A_PAGE;
            second[used] = (int64_t)first + place % SECONDS_A_PAGE - SECOND_OFFSET;
            starts[used] = counts[0];
            ends[used] = counts[1];
            completions[used++] = counts[2];
        }
    }
    free(names);
    return (int64_t)used;
}

/* `part`: sixteenths of a doubling, counted from the smallest number; `code` is 0, as calls of all keys are together. */
API int64_t tally_timeline(const struct tally *tally, int64_t *code, int64_t *window, int64_t *part, int64_t *count) {
    const struct pages *pages = &tally->timeline;
    size_t used = 0;
    for (size_t at = 0; pages->slots != NULL && at <= pages->mask; at++) {
        if (pages->slots[at].name == EMPTY) continue;
        uint64_t name = pages->slots[at].name;
        for (int place = 0; place < PARTS_AN_OCTAVE; place++) {
            uint32_t found = pages->counts[(size_t)pages->slots[at].page * PARTS_AN_OCTAVE + place];
            if (found == 0) continue;
            code[used] = 0;
            window[used] = window_of_name(tally, name);
            part[used] = (int64_t)(name & 2047) * PARTS_AN_OCTAVE + place;
            count[used++] = found;
        }
    }
    return (int64_t)used;
}

/* The text of pair i lies in `bytes` from the end of the one before to `end[i]`; `bytes` of enough room. */
API int64_t tally_classes(const struct tally *tally, int64_t *code, int64_t *class_number, int64_t *count) {
    for (size_t pair = 0; pair < tally->classes.used; pair++) {
        code[pair] = (int64_t)tally->classes.words[3 * pair];
        class_number[pair] = (int64_t)tally->classes.words[3 * pair + 1] - 1;
        count[pair] = (int64_t)tally->class_calls[pair];
    }
    return (int64_t)tally->classes.used;
}

/* The distinct error classes, one after the other, and the length of each. */
API int64_t tally_class_names(const struct tally *tally, uint8_t *bytes, uint32_t *lengths) {
    const struct texts *texts = &tally->classes.texts[1];
    if (bytes == NULL || texts->used == 0) return (int64_t)texts->used;
    memcpy(bytes, texts->bytes, texts->used_bytes);
    memcpy(lengths, texts->lengths, texts->used * sizeof *lengths);
    return (int64_t)texts->used;
}

/* ---- the selection: rows of wanted cells, and the rows from a limit on ---- */

struct selection {
    struct codes codes;
    struct layout layout;
    struct pages wanted;   /* by line and page of buckets: number of the cell + 1, 0 for none */
    uint64_t *pivots;      /* by cell, the first latency met there, as bits */
    uint64_t *pivot_calls; /* rows that have it: a cell of one value costs no memory */
    uint64_t cells;
    double *limits;        /* by code: successes from here on are told one by one */
    uint64_t limit_codes;
    double lowest_limit;   /* of all codes */
    uint8_t wanted_bits[(FAILED_BUCKET + 1) / 8]; /* buckets of which some key wants the cell */
};

API void selection_free(struct selection *selection) {
    if (selection == NULL) return;
    codes_free(&selection->codes);
    pages_free(&selection->wanted);
    free(selection->pivots);
    free(selection->pivot_calls);
    free(selection->limits);
    free(selection);
}

API struct selection *selection_new(int32_t columns, const uint8_t *is_text, const struct layout *layout,
                                    int32_t direct, uint64_t keys, uint32_t part, uint32_t parts) {
    struct selection *selection = calloc(1, sizeof *selection);
    if (selection == NULL) return NULL;
    selection->layout = *layout;
    selection->wanted.width = BUCKETS_A_PAGE;
    if (!has_shift(layout) || !codes_init(&selection->codes, columns, is_text, part, parts) ||
        (direct && columns != 1)) {
        selection_free(selection);
        return NULL;
    }
    selection->codes.direct = direct;
    if (direct) selection->codes.used = keys;
    return selection;
}

/* Gives the rows of a stream, key columns alone, the codes from 0: keys in the order of a profile. */
API int32_t selection_learn(struct selection *selection, struct ArrowArrayStream *stream) {
    return selection->codes.direct ? OK : (int32_t)learn(&selection->codes, stream, NULL, NULL, NULL);
}

/* What to look for: cells by line and bucket (-1: FAILED_BUCKET), numbered from 0, and a limit for each code (infinity for none). */
API int32_t selection_want(struct selection *selection, const int64_t *line, const int64_t *bucket, uint64_t cells,
                           const double *limits, uint64_t codes) {
    for (uint64_t cell = 0; cell < cells; cell++) {
        int64_t number = bucket[cell] == -1 ? FAILED_BUCKET : bucket[cell];
        if (line[cell] < 0 || number < 0 || number > FAILED_BUCKET) return UNKNOWN_KEY;
        uint64_t name = (uint64_t)line[cell] << LINE_SHIFT | (uint64_t)number / BUCKETS_A_PAGE;
        uint32_t page = page_of(&selection->wanted, name);
        if (page == NO_PAGE) return NO_MEMORY;
        size_t place = (size_t)page * BUCKETS_A_PAGE + (size_t)number % BUCKETS_A_PAGE;
        selection->wanted.counts[place] = (uint32_t)cell + 1;
        selection->wanted_bits[number / 8] |= (uint8_t)(1 << number % 8);
    }
    selection->cells = cells;
    selection->pivots = malloc((cells + 1) * sizeof(uint64_t));
    selection->pivot_calls = calloc(cells + 1, sizeof(uint64_t));
    selection->limits = malloc((codes + 1) * sizeof(double));
    if (!selection->pivots || !selection->pivot_calls || !selection->limits) return NO_MEMORY;
    if (codes) memcpy(selection->limits, limits, codes * sizeof(double));
    selection->limit_codes = codes;
    selection->lowest_limit = INFINITY;
    for (uint64_t code = 0; code < codes; code++)
        selection->lowest_limit = lower(selection->lowest_limit, limits[code]);
    return OK;
}

struct found {         /* arrays with room for every row of a batch */
    uint32_t *cell;    /* of the rows in wanted cells */
    uint64_t *latency; /* their latency's bits */
    uint32_t *code;    /* of the successes from their limit on */
    double *high, *end;
    int64_t num_latencies, num_high;
};

static void find_cells(struct selection *selection, const struct block *block, struct found *found) {
    const struct pages *wanted = &selection->wanted;
    for (int i = 0; wanted->slots != NULL && i < block->rows; i++) {
        if (!block->timed[i]) continue;
        uint64_t bucket = (uint64_t)bucket_of(block->latency[i], selection->layout.bucket_shift);
        uint64_t line = 2 * (uint64_t)block->code[i] + block->success[i];
        uint64_t name = line << LINE_SHIFT | bucket / BUCKETS_A_PAGE;
        size_t at = slot_of(name, wanted->mask);
        while (wanted->slots[at].name != name && wanted->slots[at].name != EMPTY) at = (at + 1) & wanted->mask;
        if (wanted->slots[at].name == EMPTY) continue;
        uint32_t cell = wanted->counts[(size_t)wanted->slots[at].page * BUCKETS_A_PAGE + bucket % BUCKETS_A_PAGE];
        if (cell-- == 0) continue;
        uint64_t bits;
        memcpy(&bits, &block->latency[i], sizeof bits);
        if (selection->pivot_calls[cell] == 0) selection->pivots[cell] = bits;
        if (selection->pivots[cell] == bits)
            selection->pivot_calls[cell]++;
        else {
            found->cell[found->num_latencies] = cell;
            found->latency[found->num_latencies++] = bits;
        }
    }
}

static void find_high(struct selection *selection, const struct block *block, struct found *found) {
    for (int i = 0; i < block->rows; i++) {
        if (!block->timed[i] || !block->success[i] || block->code[i] >= selection->limit_codes) continue;
        if (!(block->latency[i] >= selection->limits[block->code[i]])) continue;
        found->code[found->num_high] = block->code[i];
        found->high[found->num_high] = block->latency[i];
        found->end[found->num_high++] = block->end[i];
    }
}

/* Chooses the rows that may be wanted, whatever their key, and moves them to the front of the block. */
static void choose(const struct selection *selection, struct block *block, struct chosen *chosen) {
    int rows = 0;
    for (int i = 0; i < block->rows; i++) {
        uint64_t bucket = (uint64_t)bucket_of(block->latency[i], selection->layout.bucket_shift);
        int wanted = selection->wanted_bits[bucket / 8] >> (bucket % 8) & 1;
        chosen->row[rows] = (uint16_t)i;
        rows += (wanted | (block->latency[i] >= selection->lowest_limit)) & block->timed[i];
    }
    chosen->rows = rows;
    for (int i = 0; i < rows; i++) {
        int from = chosen->row[i];
        block->latency[i] = block->latency[from];
        block->start[i] = NAN;
        block->end[i] = block->end[from];
        block->timed[i] = 1;
        block->success[i] = block->success[from];
    }
    block->rows = rows;
}

struct looking {
    struct selection *selection;
    struct found *found;
    struct block block;
};

static enum status look_at_rows(void *state, struct ArrowArray **columns, int64_t row, int rows, int64_t first_row) {
    struct looking *looking = state;
    struct selection *selection = looking->selection;
    struct block *block = &looking->block;
    const struct layout *layout = &selection->layout;
    struct ArrowArray *end = layout->end < 0 ? NULL : columns[layout->end];
    uint8_t kept[BLOCK];
    (void)first_row;
    block->rows = rows;
    if (!load_latencies(columns[layout->latency], row, block) || !load_times(end, row, rows, block->end))
        return BROKEN_ROW;
    load_successes(columns[layout->success], row, block);
    struct chosen chosen;
    choose(selection, block, &chosen);
    enum status status = block_codes(&selection->codes, columns, row, &chosen, block, false, 0, NULL, NULL);
    if (status != OK) return status;
    if (selection->codes.parts > 1) compact(block, kept);
    find_cells(selection, block, looking->found);
    if (selection->limit_codes) find_high(selection, block, looking->found);
    return OK;
}

/* Looks through all rows of a stream. */
API int32_t selection_look(struct selection *selection, struct ArrowArrayStream *stream, struct found *found) {
    struct looking looking = {.selection = selection, .found = found};
    return (int32_t)each_block(stream, &selection->codes, &selection->layout, look_at_rows, &looking);
}

API void selection_pivots(const struct selection *selection, uint64_t *bits, uint64_t *calls) {
    if (selection->cells == 0) return;
    memcpy(bits, selection->pivots, selection->cells * sizeof *bits);
    memcpy(calls, selection->pivot_calls, selection->cells * sizeof *calls);
}
