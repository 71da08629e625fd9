/* Reads lines of cells: numbers, truth values and text. Bytes are looked at eight at a time.
 *
 * Numbers become the nearest Float64: digits that fit an exact division are divided, the others take the
 * algorithm of D. Lemire, "Number parsing at a gigabyte per second" (Software: Practice and Experience 51,
 * 2021). Whatever is not written as usual is left to another reader. For little-endian processors.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(_WIN32)
#define API __declspec(dllexport)
#else
#define API __attribute__((visibility("default")))
#endif

__extension__ typedef unsigned __int128 uint128;

enum kind { FLOAT, WHOLE, INTEGER, TRUTH, TEXT, SKIPPED }; /* as in loadlens.native.cells */

enum { LEAST_POWER = -342, MOST_POWER = 308, EXACT_POWERS = 22, MOST_EXPONENT_DIGITS = 4, INLINE_BYTES = 12 };

#define EACH_BYTE UINT64_C(0x0101010101010101)
#define HIGH_BITS (EACH_BYTE * 0x80)
#define MOST_EXACT (UINT64_C(1) << 53) /* up to here a Float64 holds every whole number */

static const double POWERS[EXACT_POWERS + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
static const uint64_t TENS[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

struct cells { /* each array has a row of `rows` for each column of its kind; `missing` for each column */
    const int8_t *kinds;           /* what each cell of a line is read as */
    const int64_t *slots;          /* its row in the array for that kind */
    const uint64_t (*fives)[2];    /* the leading 128 bits of each power of five, from LEAST_POWER on */
    int64_t *numbers;              /* Float64 by their bits */
    uint8_t *truths;
    uint64_t (*views)[2];          /* those of Arrow into `texts` */
    uint8_t *texts;
    uint8_t *missing;
    int64_t *num_missing;          /* by column */
    int64_t columns, rows, room;   /* room: bytes in `texts` */
    int64_t used;                  /* bytes in `texts` that are taken */
    int32_t separator, quote;      /* quote: -1 for none */
};

static uint64_t load(const uint8_t *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

static bool is_digit(uint8_t byte) { return (uint8_t)(byte - '0') < 10; }

/* How many digits a word begins with, and the number that they are. */
static unsigned leading_digits(uint64_t word, uint64_t *number) {
    uint64_t values = word ^ EACH_BYTE * '0';
    uint64_t others = ((values + EACH_BYTE * (0x7F - 9)) | values) & HIGH_BITS;
    unsigned count = others ? (unsigned)__builtin_ctzll(others) / 8 : 8;
    *number = 0;
    if (count == 0) return 0;
    values <<= 64 - 8 * count;
    values = values * 10 + (values >> 8);
    const uint64_t pairs = UINT64_C(0x000000FF000000FF);
    const uint64_t weights = 100 + (UINT64_C(1000000) << 32), other_weights = 1 + (UINT64_C(10000) << 32);
    *number = ((values & pairs) * weights + (values >> 16 & pairs) * other_weights) >> 32;
    return count;
}

/* Where the digits from `p` on end; adds them to those before. NULL if the number is too large. */
static const uint8_t *more_digits(const uint8_t *p, uint64_t *digits) {
    unsigned count;
    do {
        uint64_t more;
        count = leading_digits(load(p), &more);
        if (__builtin_expect(*digits >= UINT64_MAX / 100000000, 0) && *digits >= UINT64_MAX / TENS[count])
            return NULL;
        *digits = *digits * TENS[count] + more;
        p += count;
    } while (count == 8);
    return p;
}

/* The Float64 nearest to digits * 10^power, digits not 0; false if unknown, subnormal or infinite. */
static bool scale(uint64_t digits, int power, const uint64_t five[2], double *value) {
    int zeros = __builtin_clzll(digits);
    uint64_t scaled = digits << zeros;
    uint128 product = (uint128)scaled * five[0];
    uint64_t upper = (uint64_t)(product >> 64), lower = (uint64_t)product;
    if ((upper & 0x1FF) == 0x1FF) {
        uint64_t carried = (uint64_t)((uint128)scaled * five[1] >> 64);
        lower += carried;
        upper += lower < carried;
    }
    if (lower == UINT64_MAX && !(-27 <= power && power <= 55)) return false; /* too close to tell */
    int shift = (int)(upper >> 63) + 9;
    uint64_t bits = upper >> shift;
    /* Only with these powers can 64 bits lie halfway between two Float64: then it is the even one. */
    if (lower <= 1 && -4 <= power && power <= 23 && (bits & 3) == 1 && bits << shift == upper) bits--;
    bits = (bits + (bits & 1)) >> 1;
    int exponent = (217706 * power >> 16) + 1077 + shift - zeros + (int)(bits >> 53);
    if (exponent <= 0 || exponent >= 2047) return false;
    bits = (uint64_t)exponent << 52 | (bits & ((UINT64_C(1) << 52) - 1));
    memcpy(value, &bits, sizeof bits);
    return true;
}

static bool to_float(uint64_t digits, int power, const uint64_t (*fives)[2], double *value) {
    if (digits <= MOST_EXACT && -EXACT_POWERS <= power && power <= EXACT_POWERS) {
        *value = power <= 0 ? (double)digits / POWERS[-power] : (double)digits * POWERS[power];
        return true;
    }
    *value = 0;
    if (digits == 0) return true;
    return LEAST_POWER <= power && power <= MOST_POWER && scale(digits, power, fives[power - LEAST_POWER], value);
}

/* Where the exponent that begins at `p` ends; adds it to `power`. NULL if it is none. */
static const uint8_t *exponent_end(const uint8_t *p, int *power) {
    bool negative = *p == '-';
    if (negative || *p == '+') p++;
    uint64_t digits;
    unsigned count = leading_digits(load(p), &digits);
    if (count == 0 || count > MOST_EXPONENT_DIGITS) return NULL;
    *power += negative ? -(int)digits : (int)digits;
    return p + count;
}

/* Where the number at `p` ends: `p` itself if there is none. NULL if it is unusual; its value is then, or if
 * `known` becomes false, of no use. The end is told before the value, for which the next cell need not wait. */
static const uint8_t *read_float(const uint8_t *p, const uint64_t (*fives)[2], double *value, bool *known) {
    bool negative = *p == '-';
    const uint8_t *begin = p + negative;
    if (!is_digit(*begin)) return negative ? NULL : p;
    uint64_t digits = 0;
    int power = 0;
    p = more_digits(begin, &digits);
    if (p != NULL && *p == '.') {
        const uint8_t *point = p + 1;
        p = more_digits(point, &digits);
        if (p == point) return NULL;
        if (p != NULL) power = (int)(point - p);
    }
    if (p != NULL && (*p | 0x20) == 'e') p = exponent_end(p + 1, &power);
    if (p == NULL) return NULL;
    *known = to_float(digits, power, fives, value);
    if (negative) *value = -*value;
    return p;
}

/* Likewise for an integer, which is of no use above `most`. */
static const uint8_t *read_integer(const uint8_t *p, uint64_t most, int64_t *value, bool *known) {
    bool negative = *p == '-';
    const uint8_t *begin = p + negative;
    if (!is_digit(*begin)) return negative ? NULL : p;
    uint64_t digits = 0;
    p = more_digits(begin, &digits);
    *known = digits <= most;
    *value = (int64_t)(negative ? -digits : digits);
    return p;
}

/* Marks the bytes that are those of the pattern, for certain up to the first. */
static uint64_t marked(uint64_t word, uint64_t pattern) {
    uint64_t difference = word ^ pattern;
    return (difference - EACH_BYTE) & ~difference & HIGH_BITS;
}

/* Where the next line break or one of two other bytes is. */
static const uint8_t *find(const uint8_t *p, uint64_t one, uint64_t other) {
    for (;; p += 8) {
        uint64_t word = load(p), mark = marked(word, one) | marked(word, other) | marked(word, EACH_BYTE * '\n');
        if (mark) return p + __builtin_ctzll(mark) / 8;
    }
}

struct text {
    const uint8_t *begin;
    int64_t size;
};

/* Where the cell at `p` ends; NULL if it is unusual. Its text is without the quotes around it. */
static const uint8_t *read_text(const uint8_t *p, const struct cells *cells, bool is_last, struct text *text) {
    uint64_t quotes = EACH_BYTE * (uint8_t)(cells->quote < 0 ? '\n' : cells->quote);
    if (*p == cells->quote) {
        const uint8_t *stop = find(++p, quotes, quotes);
        *text = (struct text){p, stop - p};
        return *stop == cells->quote ? stop + 1 : NULL;
    }
    const uint8_t *stop = find(p, EACH_BYTE * (uint8_t)cells->separator, quotes);
    if (is_last && stop > p && stop[-1] == '\r') stop--;
    *text = (struct text){p, stop - p};
    return stop;
}

/* 1 or 0 for `true` or `false` in letters of any case, else -1. */
static int truth_of(const struct text *text) {
    uint64_t word = load(text->begin) | EACH_BYTE * 0x20;
    if (text->size == 4 && memcmp(&word, "true", 4) == 0) return 1;
    return text->size == 5 && memcmp(&word, "false", 5) == 0 ? 0 : -1;
}

/* Arrow's view of a text: a short one is in it, others are kept in `texts`. False if there is no room. */
static bool keep_text(struct cells *cells, const struct text *text, uint64_t view[2]) {
    uint64_t low = load(text->begin), size = (uint64_t)text->size;
    if (text->size > INLINE_BYTES) {
        if (text->size > cells->room - cells->used) return false;
        memcpy(cells->texts + cells->used, text->begin, size);
        view[0] = size | low << 32;
        view[1] = (uint64_t)cells->used << 32;
        cells->used += text->size;
        return true;
    }
    uint64_t high = 0;
    if (size < 8)
        low &= (UINT64_C(1) << 8 * size) - 1;
    else
        high = load(text->begin + 8) & ((UINT64_C(1) << (8 * size - 64)) - 1);
    view[0] = size | low << 32;
    view[1] = low >> 32 | high << 32;
    return true;
}

/* Where the cell at `p` ends; NULL if it is unusual. */
static const uint8_t *read_cell(const uint8_t *p, struct cells *cells, int64_t column, int64_t row, bool *known) {
    int8_t kind = cells->kinds[column];
    int64_t at = cells->slots[column] * cells->rows + row;
    if (kind == FLOAT) {
        double value = 0;
        p = read_float(p, cells->fives, &value, known);
        memcpy(&cells->numbers[at], &value, sizeof value);
        return p;
    }
    if (kind == WHOLE || kind == INTEGER)
        return read_integer(p, kind == WHOLE ? MOST_EXACT : INT64_MAX, &cells->numbers[at], known);
    struct text text;
    const uint8_t *end = read_text(p, cells, column == cells->columns - 1, &text);
    if (end == NULL) return NULL;
    if (kind == TRUTH) {
        int truth = truth_of(&text);
        cells->truths[at] = truth == 1;
        *known = text.begin == p && (truth >= 0 || end == p);
    } else if (kind == TEXT)
        *known = keep_text(cells, &text, cells->views[at]);
    return end;
}

/* Where the next cell begins, given the end of one; NULL if neither it nor, as it should, the line ends. */
static const uint8_t *next_cell(const uint8_t *p, const struct cells *cells, bool is_last) {
    if (!is_last) return *p == cells->separator ? p + 1 : NULL;
    if (*p == '\r') p++;
    return *p == '\n' ? p + 1 : NULL;
}

/* Reads the lines from `p` to `end`, before which is a line break and behind which are 16 further bytes. The
 * first becomes row `row`. Returns how many rows there are then; -1 if something is not as usual. */
API int64_t cells_read(struct cells *cells, const uint8_t *p, const uint8_t *end, int64_t row) {
    for (; p < end; row++) {
        if (row >= cells->rows) return -1;
        for (int64_t column = 0; column < cells->columns; column++) {
            const uint8_t *cell = p;
            bool known = true;
            p = read_cell(p, cells, column, row, &known);
            if (p == cell) {
                cells->missing[column * cells->rows + row] = 1;
                cells->num_missing[column]++;
            }
            if (!known || p == NULL) return -1;
            p = next_cell(p, cells, column == cells->columns - 1);
            if (p == NULL) return -1;
        }
    }
    return row;
}
