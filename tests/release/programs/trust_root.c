/* Adds the certificate of a file, in DER, to the roots that the user of Windows trusts. */
#include <stdio.h>
#include <windows.h>

int main(int argc, char **argv)
{
    static BYTE der[16384];
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    DWORD length = file ? (DWORD)fread(der, 1, sizeof(der), file) : 0;
    HCERTSTORE store = CertOpenSystemStoreA(0, "ROOT");

    if (file)
        fclose(file);
    if (!CertAddEncodedCertificateToStore(store, X509_ASN_ENCODING, der, length,
                                          CERT_STORE_ADD_REPLACE_EXISTING, NULL))
        return 1;
    return CertCloseStore(store, 0) ? 0 : 2;
}
