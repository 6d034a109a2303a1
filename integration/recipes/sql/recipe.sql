-- docs: from here
UPDATE /* mc: user:1 user:1:friends */ users
   SET name = 'Grace /* mc: forged */' WHERE id = 1;

INSERT /* mc: users:newest user_by_email:d%27arcy%2C100%25%2A%2F%5C%40example.com */
  INTO users (name, email) VALUES ('Ada', 'd\'arcy,100%*/\\@example.com');

DELETE /* mc: user:2 user_by_email:d%27arcy%2C100%25%2A%2F%5C%40example.com */
  FROM users WHERE id = 2;
-- docs: to here
