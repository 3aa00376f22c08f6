/*
 * Updates many customers from a fixed-width file: legacy INPUT REPORT
 *
 * INPUT: one record per line, 175 bytes in ISO 8859-1, ended by LF or CR LF. A field is filled up
 * with blanks on either side; one that is all blank keeps its value at the service.
 *
 *     columns   bytes  field
 *       1- 12      12  customer_box_id
 *      13- 56      44  customer_key
 *      57- 86      30  customer_first_name
 *      87-116      30  customer_last_name
 *     117-136      20  customer_identity_number
 *     137-166      30  customer_tax_number: digits, with a point where it has a fraction
 *     167-174       8  customer_birth_date: YYYYMMDD
 *     175-175       1  customer_gender: M or F
 *
 * REPORT: one line per record, 90 characters of ASCII, then the totals.
 *
 *     columns   width  content
 *       1-  6       6  number of the record, from 000001
 *       8- 19      12  customer_box_id as it was read
 *      21- 22       2  reason code
 *      24- 24       1  was the customer changed? Y yes, N no, ? perhaps
 *      26- 90      65  why: the bad field, the service's words, or what went wrong
 *
 *     reason code                                          what to do
 *         00  accepted                                     nothing
 *         10  the record is not 175 bytes long             correct it
 *         20  a field is missing, malformed or too long    correct it
 *         30  the service refused it                       correct it
 *         40  the service was not reached, or did not try  run it again
 *         50  not known whether it was applied               run it again
 *
 * Running a record again does no harm: the same update leaves the same record. A byte that is not
 * printable ASCII is reported as a question mark. The whole of each error goes to standard error.
 *
 * Exit code, for a job scheduler: 0 all accepted, 4 some to correct, 8 some to run again (and
 * perhaps some to correct), 12 stopped: bad arguments, files or configuration.
 *
 * SKYPOSTAL_USER_CODE and SKYPOSTAL_APP_KEY are read from the environment. To compile:
 *     cc -std=c89 -Iinclude examples/legacy.c -Ltarget/release -lskypostal -o legacy
 */
#include <skypostal.h>
#include <stdio.h>
#include <string.h>

enum { RECORD_LENGTH = 175, WHY_WIDTH = 65 };
enum { ACCEPTED, BAD_RECORD, BAD_FIELD, REFUSED, NOT_REACHED, UNKNOWN, REASONS };

static const char *const REASON_TEXTS[] = {"accepted", "bad record", "bad field",
                                           "refused",  "not reached", "unknown"};

struct field {
    size_t start, length;
};
static const struct field BOX_ID = {0, 12}, KEY = {12, 44}, FIRST_NAME = {56, 30},
                          LAST_NAME = {86, 30}, IDENTITY_NUMBER = {116, 20},
                          TAX_NUMBER = {136, 30}, BIRTH_DATE = {166, 8}, GENDER = {174, 1};

/*
 * Reads a line into record, which is blank after it, and returns the line's whole length without
 * its end; -1 at the end of the file. A line that is too long is read to its end.
 */
static long read_record(FILE *input, char record[RECORD_LENGTH + 1])
{
    long length = 0;
    int byte = getc(input);

    if (byte == EOF)
        return -1;
    memset(record, ' ', RECORD_LENGTH + 1);
    for (; byte != EOF && byte != '\n'; byte = getc(input)) {
        if (length <= RECORD_LENGTH) /* one more than a record, as that may be a CR */
            record[length] = (char)byte;
        length++;
    }
    if (length > 0 && length <= RECORD_LENGTH + 1 && record[length - 1] == '\r')
        record[--length] = ' ';
    return length;
}

/*
 * The field in UTF-8 without the blanks around it, which stays until the next call; NULL, which
 * keeps the value at the service, if it is blank.
 */
static const char *utf8(const char *record, struct field field)
{
    static char text[2 * 44 + 1];
    const char *byte = record + field.start, *end = byte + field.length;
    char *out = text;

    while (byte < end && *byte == ' ')
        byte++;
    while (end > byte && end[-1] == ' ')
        end--;
    if (byte == end)
        return NULL;
    for (; byte < end; byte++) {
        unsigned code = (unsigned char)*byte;
        if (code == 0)
            *out++ = '\001'; /* NUL would end the text here; any control character is refused */
        else if (code < 0x80)
            *out++ = (char)code;
        else {
            *out++ = (char)(0xC0 | code >> 6);
            *out++ = (char)(0x80 | (code & 0x3F));
        }
    }
    *out = '\0';
    return text;
}

/* 0, which no box has, for what is not a number. */
static int64_t box_id(const char *record)
{
    const char *text = utf8(record, BOX_ID);
    int64_t number = 0;

    if (text == NULL || text[strspn(text, "0123456789")] != '\0')
        return 0;
    for (; *text != '\0'; text++)
        number = number * 10 + (*text - '0');
    return number;
}

/* YYYYMMDD as YYYY-MM-DD; anything else as it is, to be refused. */
static const char *birth_date(const char *record)
{
    static char day[11];
    const char *text = utf8(record, BIRTH_DATE);

    if (text == NULL || strlen(text) != 8)
        return text;
    sprintf(day, "%.4s-%.2s-%.2s", text, text + 4, text + 6);
    return day;
}

static void fill(skypostal_update *update, const char *record)
{
    skypostal_update_clear(update); /* nothing of the record before is left */
    /* Bad values are remembered, and named by the call. */
    skypostal_update_set_customer_box_id(update, box_id(record));
    skypostal_update_set_customer_key(update, utf8(record, KEY));
    skypostal_update_set_customer_first_name(update, utf8(record, FIRST_NAME));
    skypostal_update_set_customer_last_name(update, utf8(record, LAST_NAME));
    skypostal_update_set_customer_identity_number(update, utf8(record, IDENTITY_NUMBER));
    skypostal_update_set_customer_tax_number(update, utf8(record, TAX_NUMBER));
    skypostal_update_set_customer_birth_date(update, birth_date(record));
    skypostal_update_set_customer_gender(update, utf8(record, GENDER));
}

static int reason_of(int result, const skypostal_error *error)
{
    if (result == SKYPOSTAL_OK)
        return ACCEPTED;
    if (result == SKYPOSTAL_INVALID_FIELD)
        return BAD_FIELD;
    if (skypostal_error_delivery(error) == SKYPOSTAL_DELIVERY_UNKNOWN)
        return UNKNOWN;
    return result == SKYPOSTAL_REFUSED ? REFUSED : NOT_REACHED;
}

static const char *why(int result, const skypostal_error *error)
{
    if (result == SKYPOSTAL_OK)
        return "";
    if (result == SKYPOSTAL_INVALID_FIELD)
        return skypostal_error_field(error);
    if (result == SKYPOSTAL_REFUSED)
        return skypostal_error_description(error);
    return skypostal_strerror(result);
}

/* Writes width characters: the text, cut or filled up with blanks. */
static void put(FILE *report, const char *text, int width)
{
    for (; width > 0 && *text != '\0'; text++) {
        unsigned code = (unsigned char)*text;
        if ((code & 0xC0) == 0x80)
            continue; /* the rest of a UTF-8 character */
        putc(code < 0x20 || code > 0x7E ? '?' : (int)code, report);
        width--;
    }
    for (; width > 0; width--)
        putc(' ', report);
}

/* Returns whether the report has the record. */
static int report_record(FILE *report, long number, const char *record, int reason,
                         const char *text)
{
    const char *id = utf8(record, BOX_ID);

    fprintf(report, "%06ld ", number);
    put(report, id == NULL ? "" : id, 12);
    fprintf(report, " %d0 %c ", reason, reason == ACCEPTED ? 'Y' : reason == UNKNOWN ? '?' : 'N');
    put(report, text, WHY_WIDTH);
    putc('\n', report);
    return fflush(report) == 0; /* a job that is killed has reported what it did */
}

/* Returns the exit code. */
static int run(FILE *input, FILE *report, const skypostal_client *client, skypostal_update *update)
{
    char record[RECORD_LENGTH + 1];
    long totals[REASONS] = {0}, number, length;
    int reason, reported;

    for (number = 1; (length = read_record(input, record)) >= 0; number++) {
        if (length != RECORD_LENGTH) {
            char text[64];
            sprintf(text, "%ld bytes where %d belong", length, (int)RECORD_LENGTH);
            reason = BAD_RECORD;
            reported = report_record(report, number, record, reason, text);
        } else {
            skypostal_error *error = NULL;
            int result;
            fill(update, record);
            result = skypostal_client_update_personal_info(client, update, NULL, &error);
            reason = reason_of(result, error);
            if (result != SKYPOSTAL_OK)
                fprintf(stderr, "record %ld: %s\n", number, skypostal_error_message(error));
            reported = result != SKYPOSTAL_CONFIGURATION &&
                       report_record(report, number, record, reason, why(result, error));
            skypostal_error_free(error);
            if (result == SKYPOSTAL_CONFIGURATION)
                return 12; /* so would all others */
        }
        if (!reported)
            return 12; /* what comes next would be done without a trace */
        totals[reason]++;
    }
    for (reason = 0; reason < REASONS; reason++)
        fprintf(report, "TOTAL  %d0 %-12s %6ld\n", reason, REASON_TEXTS[reason], totals[reason]);
    fprintf(report, "TOTAL     %-12s %6ld\n", "records", number - 1);
    if (ferror(input)) {
        perror("legacy: the input");
        return 12;
    }
    if (totals[NOT_REACHED] + totals[UNKNOWN] > 0)
        return 8;
    return totals[BAD_RECORD] + totals[BAD_FIELD] + totals[REFUSED] > 0 ? 4 : 0;
}

int main(int argc, char **argv)
{
    skypostal_options *options = skypostal_options_new();
    skypostal_update *update = skypostal_update_new();
    skypostal_client *client = NULL;
    skypostal_error *error = NULL;
    FILE *input = NULL, *report = NULL;
    int exit_code = 12;

    skypostal_options_read_environment(options);
    if (argc != 3)
        fprintf(stderr, "usage: legacy INPUT REPORT\n");
    else if (skypostal_client_new(options, &client, &error) != SKYPOSTAL_OK)
        fprintf(stderr, "legacy: %s\n", skypostal_error_message(error));
    else if ((input = fopen(argv[1], "rb")) == NULL)
        perror(argv[1]);
    else if ((report = fopen(argv[2], "w")) == NULL)
        perror(argv[2]);
    else
        exit_code = run(input, report, client, update);

    if (input != NULL)
        fclose(input);
    if (report != NULL && (ferror(report) | fclose(report)) != 0) {
        perror(argv[2]);
        exit_code = 12;
    }
    skypostal_error_free(error);
    skypostal_client_free(client);
    skypostal_update_free(update);
    skypostal_options_free(options);
    return exit_code;
}
