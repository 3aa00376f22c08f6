/*
 * libcurl's easy interface with cJSON or, with -DYYJSON, with yyjson: one handle per thread, which is used
 * again and keeps its connection, options that do not change set once, the response read into a buffer that
 * is there already, and the JSON written and read where it lies, as far as the library can.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef YYJSON
#include "yyjson.h"
#else
#include <cjson/cJSON.h>
#endif

#include "worker.h"

struct session {
    CURL *curl;
    struct curl_slist *headers;
    char url[512];
    char request[4096];
    size_t request_size;
    char response[65536];
    size_t response_size;
    char birth_date[16];
#ifdef YYJSON
    char memory[65536];
#else
    cJSON *json;
    char tax_number[32];
#endif
};

static size_t receive(char *data, size_t one, size_t size, void *argument)
{
    struct session *session = argument;

    (void)one;
    /* What yyjson needs beyond the end, and cJSON's NUL. */
    if (size > sizeof session->response - session->response_size - 8)
        return 0;
    memcpy(session->response + session->response_size, data, size);
    session->response_size += size;
    return size;
}

void *session_new(const char *base_url, const char *path)
{
    struct session *session = calloc(1, sizeof *session);

    curl_global_init(CURL_GLOBAL_DEFAULT);
    snprintf(session->url, sizeof session->url, "%s%s", base_url, path);
    session->headers = curl_slist_append(NULL, "Content-Type: application/json");
    session->headers = curl_slist_append(session->headers, "Accept: application/json");
    session->curl = curl_easy_init();
    curl_easy_setopt(session->curl, CURLOPT_URL, session->url);
    curl_easy_setopt(session->curl, CURLOPT_HTTPHEADER, session->headers);
    curl_easy_setopt(session->curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(session->curl, CURLOPT_WRITEDATA, session);
    curl_easy_setopt(session->curl, CURLOPT_POSTFIELDS, session->request);
    curl_easy_setopt(session->curl, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
    curl_easy_setopt(session->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(session->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(session->curl, CURLOPT_CAINFO, getenv("SSL_CERT_FILE"));
    return session;
}

#ifdef YYJSON

static int write_request(struct session *session)
{
    yyjson_alc memory;
    yyjson_mut_doc *doc;
    yyjson_mut_val *object;
    char *text;

    yyjson_alc_pool_init(&memory, session->memory, sizeof session->memory);
    doc = yyjson_mut_doc_new(&memory);
    object = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, object);
    yyjson_mut_obj_add_int(doc, object, "user_code", USER_CODE);
    yyjson_mut_obj_add_str(doc, object, "app_key", APP_KEY);
    yyjson_mut_obj_add_int(doc, object, "customer_box_id", BOX_ID);
    yyjson_mut_obj_add_str(doc, object, "customer_key", CUSTOMER_KEY);
    yyjson_mut_obj_add_str(doc, object, "customer_first_name", FIRST_NAME);
    yyjson_mut_obj_add_str(doc, object, "customer_last_name", LAST_NAME);
    yyjson_mut_obj_add_str(doc, object, "customer_birth_date", BIRTH_DATE);
    yyjson_mut_obj_add_str(doc, object, "customer_gender", GENDER);
    text = yyjson_mut_write_opts(doc, 0, &memory, &session->request_size, NULL);
    if (text == NULL || session->request_size >= sizeof session->request)
        return -1;
    memcpy(session->request, text, session->request_size);
    return 0;
}

static int read_response(struct session *session, struct info *info)
{
    yyjson_alc memory;
    yyjson_doc *doc;
    yyjson_val *item, *error;

    yyjson_alc_pool_init(&memory, session->memory, sizeof session->memory);
    doc = yyjson_read_opts(session->response, session->response_size,
                           YYJSON_READ_INSITU | YYJSON_READ_NUMBER_AS_RAW, &memory, NULL);
    item = yyjson_arr_get_first(yyjson_doc_get_root(doc));
    error = yyjson_obj_get(item, "error");
    if (!yyjson_get_bool(yyjson_obj_get(item, "_verify")) ||
        yyjson_get_bool(yyjson_obj_get(error, "system_error")) ||
        yyjson_get_len(yyjson_obj_get(error, "error_description")) > 0)
        return -1;
    info->cust_id = atoll(yyjson_get_raw(yyjson_obj_get(item, "cust_id")));
    info->customer_first_name = yyjson_get_str(yyjson_obj_get(item, "customer_first_name"));
    info->customer_last_name = yyjson_get_str(yyjson_obj_get(item, "customer_last_name"));
    info->customer_identity_number =
        yyjson_get_str(yyjson_obj_get(item, "customer_identity_number"));
    info->customer_tax_number = yyjson_get_raw(yyjson_obj_get(item, "customer_tax_number"));
    info->customer_birth_date =
        day(yyjson_get_str(yyjson_obj_get(item, "customer_birth_date")), session->birth_date);
    info->customer_gender = yyjson_get_str(yyjson_obj_get(item, "customer_gender"));
    return 0;
}

void session_release(void *session) { (void)session; }

#else

static int write_request(struct session *session)
{
    cJSON *object = cJSON_CreateObject();
    int written;

    cJSON_AddNumberToObject(object, "user_code", USER_CODE);
    cJSON_AddStringToObject(object, "app_key", APP_KEY);
    cJSON_AddNumberToObject(object, "customer_box_id", BOX_ID);
    cJSON_AddStringToObject(object, "customer_key", CUSTOMER_KEY);
    cJSON_AddStringToObject(object, "customer_first_name", FIRST_NAME);
    cJSON_AddStringToObject(object, "customer_last_name", LAST_NAME);
    cJSON_AddStringToObject(object, "customer_birth_date", BIRTH_DATE);
    cJSON_AddStringToObject(object, "customer_gender", GENDER);
    written = cJSON_PrintPreallocated(object, session->request, sizeof session->request, 0);
    cJSON_Delete(object);
    session->request_size = strlen(session->request);
    return written ? 0 : -1;
}

static int read_response(struct session *session, struct info *info)
{
    const cJSON *item, *error, *tax_number;

    session->json = cJSON_ParseWithLength(session->response, session->response_size);
    item = cJSON_GetArrayItem(session->json, 0);
    error = cJSON_GetObjectItemCaseSensitive(item, "error");
    if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, "_verify")) ||
        cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(error, "system_error")) ||
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(error, "error_description"))[0])
        return -1;
#define TEXT(name) cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, name))
    info->cust_id = (int64_t)cJSON_GetObjectItemCaseSensitive(item, "cust_id")->valuedouble;
    info->customer_first_name = TEXT("customer_first_name");
    info->customer_last_name = TEXT("customer_last_name");
    info->customer_identity_number = TEXT("customer_identity_number");
    /* cJSON keeps a number as a double: a long tax number loses digits here, and nowhere else. */
    tax_number = cJSON_GetObjectItemCaseSensitive(item, "customer_tax_number");
    if (cJSON_IsNumber(tax_number)) {
        snprintf(session->tax_number, sizeof session->tax_number, "%.15g", tax_number->valuedouble);
        info->customer_tax_number = session->tax_number;
    }
    info->customer_birth_date = day(TEXT("customer_birth_date"), session->birth_date);
    info->customer_gender = TEXT("customer_gender");
    return 0;
}

void session_release(void *argument)
{
    struct session *session = argument;

    cJSON_Delete(session->json);
}

#endif

int session_call(void *argument, struct info *info)
{
    struct session *session = argument;
    CURLcode result;
    long status = 0;

    if (write_request(session) != 0)
        return -1;
    session->response_size = 0;
    curl_easy_setopt(session->curl, CURLOPT_POSTFIELDSIZE, (long)session->request_size);
    result = curl_easy_perform(session->curl);
    if (result != CURLE_OK) {
        fprintf(stderr, "%s\n", curl_easy_strerror(result));
        return -1;
    }
    curl_easy_getinfo(session->curl, CURLINFO_RESPONSE_CODE, &status);
    return status == 200 ? read_response(session, info) : -1;
}

void session_free(void *argument)
{
    struct session *session = argument;

    curl_easy_cleanup(session->curl);
    curl_slist_free_all(session->headers);
    free(session);
}
