/*
 * Updates one customer: java -cp jna.jar Update.java FIRST_NAME LAST_NAME BIRTH_DATE GENDER
 *
 * An empty argument leaves its field as it is. From the environment come SKYPOSTAL_USER_CODE,
 * SKYPOSTAL_APP_KEY, SKYPOSTAL_CUSTOMER_BOX_ID and SKYPOSTAL_CUSTOMER_KEY: keys do not belong into
 * arguments, where everyone on the machine can read them. Java 11 or newer with JNA 5.
 */
import com.sun.jna.Library;
import com.sun.jna.Native;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.PointerByReference;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;

public class Update {
    /** What this program uses of skypostal.h. A handle is a Pointer, int64_t a long. */
    interface Skypostal extends Library {
        Pointer skypostal_options_new();
        void skypostal_options_free(Pointer options);
        int skypostal_options_read_environment(Pointer options);

        int skypostal_client_new(Pointer options, PointerByReference out, PointerByReference error);
        void skypostal_client_free(Pointer client);
        int skypostal_client_update_personal_info(
                Pointer client, Pointer update, PointerByReference out, PointerByReference error);

        Pointer skypostal_update_new();
        void skypostal_update_free(Pointer update);
        int skypostal_update_set_customer_box_id(Pointer update, long value);
        int skypostal_update_set_customer_key(Pointer update, String value);
        int skypostal_update_set_customer_first_name(Pointer update, String value);
        int skypostal_update_set_customer_last_name(Pointer update, String value);
        int skypostal_update_set_customer_birth_date(Pointer update, String value);
        int skypostal_update_set_customer_gender(Pointer update, String value);

        // JNA makes a String of its own of a const char *, and null of NULL.
        void skypostal_personal_info_free(Pointer info);
        long skypostal_personal_info_cust_id(Pointer info);
        String skypostal_personal_info_customer_first_name(Pointer info);
        String skypostal_personal_info_customer_last_name(Pointer info);
        String skypostal_personal_info_customer_identity_number(Pointer info);
        String skypostal_personal_info_customer_tax_number(Pointer info);
        String skypostal_personal_info_customer_birth_date(Pointer info);
        String skypostal_personal_info_customer_gender(Pointer info);

        void skypostal_error_free(Pointer error);
        int skypostal_error_delivery(Pointer error);
        String skypostal_error_message(Pointer error);
    }

    // Without the option JNA would pass texts in the encoding of the platform.
    static final Skypostal SKYPOSTAL =
            Native.load("skypostal", Skypostal.class, Map.of(Library.OPTION_STRING_ENCODING, "UTF-8"));

    static final String[] ADVICE_BY_DELIVERY = {
        "",
        "nothing was sent: the customer is as before",
        "the service did not make the change: the customer is as before",
        "the customer may have been changed: run this again, which does no harm",
    };

    static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    static final PrintStream ERR = new PrintStream(System.err, true, StandardCharsets.UTF_8);

    /** 0, which no box has, for what is not a number. */
    static long number(String text) {
        return text != null && text.matches("[0-9]{1,18}") ? Long.parseLong(text) : 0;
    }

    /** null leaves a field as it is. */
    static String given(String argument) {
        return argument.isEmpty() ? null : argument;
    }

    static void print(String name, Object value) {
        OUT.println(name + ": " + (value == null ? "-" : value));
    }

    public static void main(String[] arguments) {
        if (arguments.length != 4) {
            ERR.println("usage: update FIRST_NAME LAST_NAME BIRTH_DATE GENDER");
            System.exit(2);
        }
        System.exit(update(arguments) ? 0 : 1);
    }

    static boolean update(String[] arguments) {
        Skypostal s = SKYPOSTAL;
        Pointer options = s.skypostal_options_new();
        Pointer update = s.skypostal_update_new();
        PointerByReference client = new PointerByReference();
        PointerByReference info = new PointerByReference();
        PointerByReference error = new PointerByReference();
        try {
            // A setter remembers a bad value, and the calls below report it.
            s.skypostal_options_read_environment(options);
            s.skypostal_update_set_customer_box_id(
                    update, number(System.getenv("SKYPOSTAL_CUSTOMER_BOX_ID")));
            s.skypostal_update_set_customer_key(update, System.getenv("SKYPOSTAL_CUSTOMER_KEY"));
            s.skypostal_update_set_customer_first_name(update, given(arguments[0]));
            s.skypostal_update_set_customer_last_name(update, given(arguments[1]));
            s.skypostal_update_set_customer_birth_date(update, given(arguments[2]));
            s.skypostal_update_set_customer_gender(update, given(arguments[3]));

            if (s.skypostal_client_new(options, client, error) != 0
                    || s.skypostal_client_update_personal_info(
                            client.getValue(), update, info, error) != 0) {
                Pointer e = error.getValue();
                ERR.println(s.skypostal_error_message(e));
                ERR.println(ADVICE_BY_DELIVERY[s.skypostal_error_delivery(e)]);
                return false;
            }
            Pointer i = info.getValue();
            long custId = s.skypostal_personal_info_cust_id(i);
            print("cust_id", custId == 0 ? null : custId);
            print("customer_first_name", s.skypostal_personal_info_customer_first_name(i));
            print("customer_last_name", s.skypostal_personal_info_customer_last_name(i));
            print("customer_identity_number", s.skypostal_personal_info_customer_identity_number(i));
            print("customer_tax_number", s.skypostal_personal_info_customer_tax_number(i));
            print("customer_birth_date", s.skypostal_personal_info_customer_birth_date(i));
            print("customer_gender", s.skypostal_personal_info_customer_gender(i));
            return true;
        } finally {
            s.skypostal_error_free(error.getValue());
            s.skypostal_personal_info_free(info.getValue());
            s.skypostal_client_free(client.getValue());
            s.skypostal_update_free(update);
            s.skypostal_options_free(options);
        }
    }
}
