      *> Updates one customer: update FIRST_NAME LAST_NAME BIRTH_DATE GENDER
      *>
      *> An argument of spaces leaves its field as it is. From the environment come
      *> SKYPOSTAL_USER_CODE, SKYPOSTAL_APP_KEY, SKYPOSTAL_CUSTOMER_BOX_ID and
      *> SKYPOSTAL_CUSTOMER_KEY: keys do not belong into arguments, where everyone on the machine
      *> can read them. For GnuCOBOL 3:
      *>     cobc -x -free -fstatic-call examples/update.cob -Ltarget/release -lskypostal -o update
       identification division.
       program-id. update-customer.

       data division.
       working-storage section.
      *> A handle is a pointer: passed by value, and by reference where the library gives one.
       01  client-options       usage pointer value null.
       01  customer-update      usage pointer value null.
       01  client               usage pointer value null.
       01  info                 usage pointer value null.
       01  failure              usage pointer value null.
       01  text-pointer         usage pointer value null.
      *> C's int is BINARY-LONG, int64_t is BINARY-DOUBLE. Of the latter cobc would cut off the
      *> upper half: it is passed with SIZE 8, and received as the pointer that it is as long as.
       01  result-code          usage binary-long value 0.
       01  delivery             usage binary-long value 0.
       01  cust-id-received     usage pointer.
       01  cust-id              redefines cust-id-received usage binary-double.
       01  cust-id-shown        pic -(19)9.
       01  box-id               usage binary-double value 0.
       01  box-id-text          pic x(32) value spaces.
       01  argument-count       pic 9(4) usage binary.
       01  exit-code            pic 9 value 1.
      *> A longer argument is cut, but still longer than the library takes.
       01  argument             pic x(40000).
       01  argument-length      usage binary-long.
       01  text-length          usage binary-long.
       01  label-shown          pic x(24).

       linkage section.
       01  text-given           pic x(1048576).

       procedure division.
       main-line.
           accept argument-count from argument-number
           if argument-count not = 4
               display "usage: update FIRST_NAME LAST_NAME BIRTH_DATE GENDER" upon syserr
               stop run returning 2
           end-if
           call "skypostal_options_new" returning client-options
           call "skypostal_update_new" returning customer-update

      *> A setter remembers a bad value, and the calls below report it.
           call "skypostal_options_read_environment" using by value client-options
               returning result-code
           perform read-box-id
           call "skypostal_update_set_customer_box_id"
               using by value customer-update by value size 8 box-id returning result-code
           call "getenv" using by reference z"SKYPOSTAL_CUSTOMER_KEY" returning text-pointer
           call "skypostal_update_set_customer_key"
               using by value customer-update by value text-pointer returning result-code
           perform next-argument
           call "skypostal_update_set_customer_first_name"
               using by value customer-update by value text-pointer returning result-code
           perform next-argument
           call "skypostal_update_set_customer_last_name"
               using by value customer-update by value text-pointer returning result-code
           perform next-argument
           call "skypostal_update_set_customer_birth_date"
               using by value customer-update by value text-pointer returning result-code
           perform next-argument
           call "skypostal_update_set_customer_gender"
               using by value customer-update by value text-pointer returning result-code

           call "skypostal_client_new"
               using by value client-options by reference client by reference failure
               returning result-code
           if result-code = 0
               call "skypostal_client_update_personal_info"
                   using by value client by value customer-update
                         by reference info by reference failure
                   returning result-code
           end-if
           if result-code = 0
               perform show-record
               move 0 to exit-code
           else
               perform show-failure
           end-if

           call "skypostal_error_free" using by value failure
           call "skypostal_personal_info_free" using by value info
           call "skypostal_client_free" using by value client
           call "skypostal_update_free" using by value customer-update
           call "skypostal_options_free" using by value client-options
           stop run returning exit-code.

      *> 0, which no box has, for what is not a number.
       read-box-id.
           accept box-id-text from environment "SKYPOSTAL_CUSTOMER_BOX_ID"
               on exception move spaces to box-id-text
           end-accept
           move function length(function trim(box-id-text trailing)) to text-length
           if box-id-text not = spaces and text-length <= 18
                   and box-id-text(1:text-length) is numeric
               move box-id-text(1:text-length) to box-id
           end-if.

      *> C's texts end with a NUL, COBOL's with spaces. Nothing is passed for a field of spaces.
       next-argument.
           accept argument from argument-value
           if argument = spaces
               set text-pointer to null
           else
               move function length(function trim(argument trailing)) to argument-length
               if argument-length = length of argument
                   subtract 1 from argument-length
               end-if
               move x"00" to argument(argument-length + 1:1)
               set text-pointer to address of argument
           end-if.

       show-record.
           call "skypostal_personal_info_cust_id" using by value info
               returning cust-id-received
           if cust-id = 0
               display "cust_id: -"
           else
               move cust-id to cust-id-shown
               display "cust_id: " function trim(cust-id-shown)
           end-if
           move "customer_first_name" to label-shown
           call "skypostal_personal_info_customer_first_name" using by value info
               returning text-pointer
           perform show-text
           move "customer_last_name" to label-shown
           call "skypostal_personal_info_customer_last_name" using by value info
               returning text-pointer
           perform show-text
           move "customer_identity_number" to label-shown
           call "skypostal_personal_info_customer_identity_number" using by value info
               returning text-pointer
           perform show-text
           move "customer_tax_number" to label-shown
           call "skypostal_personal_info_customer_tax_number" using by value info
               returning text-pointer
           perform show-text
           move "customer_birth_date" to label-shown
           call "skypostal_personal_info_customer_birth_date" using by value info
               returning text-pointer
           perform show-text
           move "customer_gender" to label-shown
           call "skypostal_personal_info_customer_gender" using by value info
               returning text-pointer
           perform show-text.

      *> A text of the library's is looked at where it is, up to its NUL.
       show-text.
           display function trim(label-shown) ": " with no advancing
           if text-pointer = null
               display "-" with no advancing
           else
               perform find-text
               if text-length > 0
                   display text-given(1:text-length) with no advancing
               end-if
           end-if
           display x"0A" with no advancing.

       find-text.
           set address of text-given to text-pointer
           perform varying text-length from 0 by 1 until text-given(text-length + 1:1) = x"00"
               continue
           end-perform.

       show-failure.
           call "skypostal_error_message" using by value failure returning text-pointer
           perform find-text
           display text-given(1:text-length) upon syserr
           call "skypostal_error_delivery" using by value failure returning delivery
           evaluate delivery
               when 1
                   display "nothing was sent: the customer is as before" upon syserr
               when 2
                   display "the service did not make the change: the customer is as before"
                       upon syserr
               when other
                   display "the customer may have been changed: "
                       "run this again, which does no harm" upon syserr
           end-evaluate.

       end program update-customer.
