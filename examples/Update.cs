/*
 * Updates one customer: Update.exe FIRST_NAME LAST_NAME BIRTH_DATE GENDER
 *
 * An empty argument leaves its field as it is. From the environment come SKYPOSTAL_USER_CODE,
 * SKYPOSTAL_APP_KEY, SKYPOSTAL_CUSTOMER_BOX_ID and SKYPOSTAL_CUSTOMER_KEY: keys do not belong into
 * arguments, where everyone on the machine can read them. For .NET Framework 4, .NET and Mono. The
 * program and skypostal.dll must both be for x64, or both for x86.
 */
using System;
using System.IO;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;

/* What this program uses of skypostal.h. A handle is an IntPtr, int64_t a long. Texts are UTF-8, which
 * not every .NET marshals by itself: they go in as bytes that end with NUL, and come out as IntPtr. */
static class Skypostal
{
    /* skypostal.dll, or libskypostal.so. */
    const string Library = "skypostal";
    const CallingConvention C = CallingConvention.Cdecl;

    [DllImport(Library, CallingConvention = C)]
    public static extern IntPtr skypostal_options_new();
    [DllImport(Library, CallingConvention = C)]
    public static extern void skypostal_options_free(IntPtr options);
    [DllImport(Library, CallingConvention = C)]
    public static extern int skypostal_options_read_environment(IntPtr options);

    [DllImport(Library, CallingConvention = C)]
    public static extern int skypostal_client_new(IntPtr options, out IntPtr client, out IntPtr error);
    [DllImport(Library, CallingConvention = C)]
    public static extern void skypostal_client_free(IntPtr client);
    [DllImport(Library, CallingConvention = C)]
    public static extern int skypostal_client_update_personal_info(
        IntPtr client, IntPtr update, out IntPtr info, out IntPtr error);

    [DllImport(Library, CallingConvention = C)]
    public static extern IntPtr skypostal_update_new();
    [DllImport(Library, CallingConvention = C)]
    public static extern void skypostal_update_free(IntPtr update);
    [DllImport(Library, CallingConvention = C)]
    public static extern int skypostal_update_set_customer_box_id(IntPtr update, long value);
    [DllImport(Library, CallingConvention = C)]
    public static extern int skypostal_update_set_customer_key(IntPtr update, byte[] value);
    [DllImport(Library, CallingConvention = C)]
    public static extern int skypostal_update_set_customer_first_name(IntPtr update, byte[] value);
    [DllImport(Library, CallingConvention = C)]
    public static extern int skypostal_update_set_customer_last_name(IntPtr update, byte[] value);
    [DllImport(Library, CallingConvention = C)]
    public static extern int skypostal_update_set_customer_birth_date(IntPtr update, byte[] value);
    [DllImport(Library, CallingConvention = C)]
    public static extern int skypostal_update_set_customer_gender(IntPtr update, byte[] value);

    [DllImport(Library, CallingConvention = C)]
    public static extern void skypostal_personal_info_free(IntPtr info);
    [DllImport(Library, CallingConvention = C)]
    public static extern long skypostal_personal_info_cust_id(IntPtr info);
    [DllImport(Library, CallingConvention = C)]
    public static extern IntPtr skypostal_personal_info_customer_first_name(IntPtr info);
    [DllImport(Library, CallingConvention = C)]
    public static extern IntPtr skypostal_personal_info_customer_last_name(IntPtr info);
    [DllImport(Library, CallingConvention = C)]
    public static extern IntPtr skypostal_personal_info_customer_identity_number(IntPtr info);
    [DllImport(Library, CallingConvention = C)]
    public static extern IntPtr skypostal_personal_info_customer_tax_number(IntPtr info);
    [DllImport(Library, CallingConvention = C)]
    public static extern IntPtr skypostal_personal_info_customer_birth_date(IntPtr info);
    [DllImport(Library, CallingConvention = C)]
    public static extern IntPtr skypostal_personal_info_customer_gender(IntPtr info);

    [DllImport(Library, CallingConvention = C)]
    public static extern void skypostal_error_free(IntPtr error);
    [DllImport(Library, CallingConvention = C)]
    public static extern int skypostal_error_delivery(IntPtr error);
    [DllImport(Library, CallingConvention = C)]
    public static extern IntPtr skypostal_error_message(IntPtr error);

    /* Returns a text for C, NULL for null. */
    public static byte[] Utf8(string text)
    {
        return text == null ? null : Encoding.UTF8.GetBytes(text + "\0");
    }

    /* Returns a copy of a text of C's, null for NULL. */
    public static string Text(IntPtr text)
    {
        if (text == IntPtr.Zero)
            return null;
        int length = 0;
        while (Marshal.ReadByte(text, length) != 0)
            length++;
        byte[] bytes = new byte[length];
        Marshal.Copy(text, bytes, 0, length);
        return Encoding.UTF8.GetString(bytes);
    }
}

static class Update
{
    static readonly string[] AdviceByDelivery = {
        "",
        "nothing was sent: the customer is as before",
        "the service did not make the change: the customer is as before",
        "the customer may have been changed: run this again, which does no harm",
    };

    static readonly TextWriter Output = InUtf8(Console.OpenStandardOutput());
    static readonly TextWriter Errors = InUtf8(Console.OpenStandardError());

    static TextWriter InUtf8(Stream stream)
    {
        return new StreamWriter(stream, new UTF8Encoding(false)) { AutoFlush = true };
    }

    /* 0, which no box has, for what is not a number. */
    static long Number(string text)
    {
        return text != null && Regex.IsMatch(text, @"\A[0-9]{1,18}\z") ? long.Parse(text) : 0;
    }

    /* null leaves a field as it is. */
    static byte[] Given(string argument)
    {
        return argument == "" ? null : Skypostal.Utf8(argument);
    }

    static void Print(string name, string value)
    {
        Output.WriteLine(name + ": " + (value ?? "-"));
    }

    static int Main(string[] arguments)
    {
        if (arguments.Length != 4)
        {
            Errors.WriteLine("usage: update FIRST_NAME LAST_NAME BIRTH_DATE GENDER");
            return 2;
        }
        return Send(arguments) ? 0 : 1;
    }

    static bool Send(string[] arguments)
    {
        IntPtr options = Skypostal.skypostal_options_new();
        IntPtr update = Skypostal.skypostal_update_new();
        IntPtr client = IntPtr.Zero, info = IntPtr.Zero, error = IntPtr.Zero;
        try
        {
            // A setter remembers a bad value, and the calls below report it.
            Skypostal.skypostal_options_read_environment(options);
            string boxId = Environment.GetEnvironmentVariable("SKYPOSTAL_CUSTOMER_BOX_ID");
            Skypostal.skypostal_update_set_customer_box_id(update, Number(boxId));
            string key = Environment.GetEnvironmentVariable("SKYPOSTAL_CUSTOMER_KEY");
            Skypostal.skypostal_update_set_customer_key(update, Skypostal.Utf8(key));
            Skypostal.skypostal_update_set_customer_first_name(update, Given(arguments[0]));
            Skypostal.skypostal_update_set_customer_last_name(update, Given(arguments[1]));
            Skypostal.skypostal_update_set_customer_birth_date(update, Given(arguments[2]));
            Skypostal.skypostal_update_set_customer_gender(update, Given(arguments[3]));

            if (Skypostal.skypostal_client_new(options, out client, out error) != 0
                || Skypostal.skypostal_client_update_personal_info(
                    client, update, out info, out error) != 0)
            {
                Errors.WriteLine(Skypostal.Text(Skypostal.skypostal_error_message(error)));
                Errors.WriteLine(AdviceByDelivery[Skypostal.skypostal_error_delivery(error)]);
                return false;
            }
            long custId = Skypostal.skypostal_personal_info_cust_id(info);
            Print("cust_id", custId == 0 ? null : custId.ToString());
            Print("customer_first_name",
                Skypostal.Text(Skypostal.skypostal_personal_info_customer_first_name(info)));
            Print("customer_last_name",
                Skypostal.Text(Skypostal.skypostal_personal_info_customer_last_name(info)));
            Print("customer_identity_number",
                Skypostal.Text(Skypostal.skypostal_personal_info_customer_identity_number(info)));
            Print("customer_tax_number",
                Skypostal.Text(Skypostal.skypostal_personal_info_customer_tax_number(info)));
            Print("customer_birth_date",
                Skypostal.Text(Skypostal.skypostal_personal_info_customer_birth_date(info)));
            Print("customer_gender",
                Skypostal.Text(Skypostal.skypostal_personal_info_customer_gender(info)));
            return true;
        }
        finally
        {
            Skypostal.skypostal_error_free(error);
            Skypostal.skypostal_personal_info_free(info);
            Skypostal.skypostal_client_free(client);
            Skypostal.skypostal_update_free(update);
            Skypostal.skypostal_options_free(options);
        }
    }
}
