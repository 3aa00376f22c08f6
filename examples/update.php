<?php
/*
 * Updates one customer: php update.php FIRST_NAME LAST_NAME BIRTH_DATE GENDER
 *
 * An empty argument leaves its field as it is. From the environment come SKYPOSTAL_USER_CODE,
 * SKYPOSTAL_APP_KEY, SKYPOSTAL_CUSTOMER_BOX_ID and SKYPOSTAL_CUSTOMER_KEY: keys do not belong into
 * arguments, where everyone on the machine can read them. PHP 8 with its FFI extension.
 */
declare(strict_types=1);

const ADVICE_BY_DELIVERY = [
    1 => 'nothing was sent: the customer is as before',
    2 => 'the service did not make the change: the customer is as before',
    3 => 'the customer may have been changed: run this again, which does no harm',
];

/* What this program uses of skypostal.h. */
$skypostal = FFI::cdef('
    typedef struct skypostal_client skypostal_client;
    typedef struct skypostal_error skypostal_error;
    typedef struct skypostal_options skypostal_options;
    typedef struct skypostal_personal_info skypostal_personal_info;
    typedef struct skypostal_update skypostal_update;
    skypostal_options *skypostal_options_new(void);
    void skypostal_options_free(skypostal_options *options);
    int skypostal_options_read_environment(skypostal_options *options);
    int skypostal_client_new(const skypostal_options *options,
                             skypostal_client **out,
                             skypostal_error **error);
    void skypostal_client_free(skypostal_client *client);
    int skypostal_client_update_personal_info(const skypostal_client *client,
                                              const skypostal_update *update,
                                              skypostal_personal_info **out,
                                              skypostal_error **error);
    skypostal_update *skypostal_update_new(void);
    void skypostal_update_free(skypostal_update *update);
    int skypostal_update_set_customer_box_id(skypostal_update *update, int64_t value);
    int skypostal_update_set_customer_key(skypostal_update *update, const char *value);
    int skypostal_update_set_customer_first_name(skypostal_update *update, const char *value);
    int skypostal_update_set_customer_last_name(skypostal_update *update, const char *value);
    int skypostal_update_set_customer_birth_date(skypostal_update *update, const char *value);
    int skypostal_update_set_customer_gender(skypostal_update *update, const char *value);
    void skypostal_personal_info_free(skypostal_personal_info *info);
    int64_t skypostal_personal_info_cust_id(const skypostal_personal_info *info);
    const char *skypostal_personal_info_customer_first_name(const skypostal_personal_info *info);
    const char *skypostal_personal_info_customer_last_name(const skypostal_personal_info *info);
    const char *skypostal_personal_info_customer_identity_number(const skypostal_personal_info *info);
    const char *skypostal_personal_info_customer_tax_number(const skypostal_personal_info *info);
    const char *skypostal_personal_info_customer_birth_date(const skypostal_personal_info *info);
    const char *skypostal_personal_info_customer_gender(const skypostal_personal_info *info);
    void skypostal_error_free(skypostal_error *error);
    int skypostal_error_delivery(const skypostal_error *error);
    const char *skypostal_error_message(const skypostal_error *error);
', 'libskypostal.so.0');

/* 0, which no box has, for what is not a number. */
function number(string|false $text): int
{
    return preg_match('/^[0-9]{1,18}$/D', (string)$text) ? (int)$text : 0;
}

/* null leaves a field as it is. */
function given(string $argument): ?string
{
    return $argument === '' ? null : $argument;
}

if ($argc !== 5) {
    fwrite(STDERR, "usage: update FIRST_NAME LAST_NAME BIRTH_DATE GENDER\n");
    exit(2);
}

$options = $skypostal->skypostal_options_new();
$update = $skypostal->skypostal_update_new();
$client = $skypostal->new('skypostal_client *');
$info = $skypostal->new('skypostal_personal_info *');
$error = $skypostal->new('skypostal_error *');

/* A setter remembers a bad value, and the calls below report it. */
$skypostal->skypostal_options_read_environment($options);
$box_id = number(getenv('SKYPOSTAL_CUSTOMER_BOX_ID'));
$key = getenv('SKYPOSTAL_CUSTOMER_KEY');
$skypostal->skypostal_update_set_customer_box_id($update, $box_id);
$skypostal->skypostal_update_set_customer_key($update, $key === false ? null : $key);
$skypostal->skypostal_update_set_customer_first_name($update, given($argv[1]));
$skypostal->skypostal_update_set_customer_last_name($update, given($argv[2]));
$skypostal->skypostal_update_set_customer_birth_date($update, given($argv[3]));
$skypostal->skypostal_update_set_customer_gender($update, given($argv[4]));

$result = $skypostal->skypostal_client_new($options, FFI::addr($client), FFI::addr($error));
if ($result === 0) {
    $result = $skypostal->skypostal_client_update_personal_info(
        $client, $update, FFI::addr($info), FFI::addr($error));
}
if ($result === 0) {
    $cust_id = $skypostal->skypostal_personal_info_cust_id($info);
    echo 'cust_id: ', $cust_id === 0 ? '-' : $cust_id, "\n";
    /* PHP makes a string of its own of a const char *, and null of NULL. */
    foreach (['first_name', 'last_name', 'identity_number', 'tax_number', 'birth_date', 'gender']
             as $name) {
        $value = $skypostal->{"skypostal_personal_info_customer_$name"}($info);
        echo "customer_$name: ", $value ?? '-', "\n";
    }
} else {
    $delivery = $skypostal->skypostal_error_delivery($error);
    fwrite(STDERR, $skypostal->skypostal_error_message($error) . "\n"
                   . ADVICE_BY_DELIVERY[$delivery] . "\n");
}

$skypostal->skypostal_error_free($error);
$skypostal->skypostal_personal_info_free($info);
$skypostal->skypostal_client_free($client);
$skypostal->skypostal_update_free($update);
$skypostal->skypostal_options_free($options);
exit($result === 0 ? 0 : 1);
