//! The program of `tests/c/fault_driver.c`, through the Rust face.

use std::env;
use std::error::Error;
use std::io::{Write, stdin, stdout};
use std::time::{Duration, Instant};

use skypostal::{Client, Options, Update};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().collect();
    let options = Options::from_environment()
        .base_url(&arguments[1])
        .timeout(Duration::from_millis(arguments[2].parse()?))
        .connect_timeout(Duration::from_millis(arguments[3].parse()?))
        .max_retries(arguments[4].parse()?);
    let client = Client::new(&options)?;
    let update = Update::new()
        .customer_box_id(env::var("SKYPOSTAL_CUSTOMER_BOX_ID")?.parse::<i64>()?)
        .customer_key(env::var("SKYPOSTAL_CUSTOMER_KEY")?.as_str())
        .customer_first_name("New Name");

    let started = Instant::now();
    let outcome = client.update_personal_info(&update);
    let took = started.elapsed().as_millis();
    match outcome {
        Ok(info) => println!("ok - 0 0 -1 {took}\ncust_id {}\n{info:?}", info.cust_id.unwrap_or(0)),
        Err(error) => {
            let kind = format!("{:?}", error.kind()).to_lowercase();
            let (delivery, attempts) = (error.delivery().as_str(), error.attempts());
            let status = error.http_status().unwrap_or(0);
            let wait = error.retry_after().map_or("-1".to_owned(), |w| w.as_millis().to_string());
            println!("{kind} {delivery} {attempts} {status} {wait} {took}\n{error}");
            println!("{}\n{error:?} {client:?}", error.body().unwrap_or_default());
        }
    }
    println!("go on?");
    stdout().flush()?;

    stdin().read_line(&mut String::new())?;
    match client.update_personal_info(&update) {
        Ok(info) => println!("again ok {}", info.cust_id.unwrap_or(0)),
        Err(error) => println!("again {:?} 0", error.kind()),
    }
    Ok(())
}
