/* A database with one of everything that has to go over, and some of what is hard to compare. */

/** Works on any server from 12 on. */
export const SHOP = `
CREATE EXTENSION hstore;
CREATE SCHEMA shop; CREATE SCHEMA "Odd ""name";
CREATE TYPE shop.status AS ENUM ('new', 'paid', 'sent');
CREATE TYPE shop.size AS (width int, depth float8);
CREATE TYPE shop.span AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE DOMAIN shop.email AS text CHECK (VALUE LIKE '%@%');
CREATE TABLE shop.customers (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email shop.email UNIQUE, name varchar(40) COLLATE "C" NOT NULL,
  score double precision, ratio real, scores float8[], spot point, area shop.size, span shop.span, picture bytea, tags hstore,
  born date, seen timestamptz DEFAULT now(), wait interval, price money, doc xml, extra jsonb, uuid uuid, bits bit varying(9), net inet,
  lower_name text GENERATED ALWAYS AS (lower(name)) STORED);
INSERT INTO shop.customers (email, name, score, ratio, scores, spot, area, span, picture, tags, born, seen, wait, price, doc, extra, uuid, bits, net)
  SELECT 'c' || i || '@example.com', CASE WHEN i % 7 = 0 THEN '' ELSE 'Ann "' || i || E'", \\\\ \\n é' END, i / 3.0, i / 7.0, ARRAY[i / 9.0, NULL, 'NaN'],
    point(i / 11.0, -i), ROW(i, i / 13.0)::shop.size, shop.span(i, i + 0.1), decode(md5(i::text), 'hex'), hstore('k', i::text), date '2020-01-01' + i,
    timestamptz '2024-03-31 01:30:00+01' + i * interval '1 minute', make_interval(months => i, secs => i), (i * 1.01)::numeric::money, xmlparse(content '<a/>'),
    jsonb_build_object('i', i), md5(i::text)::uuid, i::bit(8), '10.0.0.1'::inet + i FROM generate_series(1, 500) i;
INSERT INTO shop.customers (name) VALUES ('nobody'), ('nobody');
CREATE TABLE shop.orders (id serial, customer bigint REFERENCES shop.customers ON DELETE CASCADE, at date NOT NULL, state shop.status DEFAULT 'new',
  total numeric(12, 2) CHECK (total >= 0), PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE shop.orders_2024 PARTITION OF shop.orders FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE shop.orders_rest PARTITION OF shop.orders DEFAULT;
INSERT INTO shop.orders (customer, at, state, total) SELECT i % 500 + 1, date '2024-06-01' + i, 'paid', i FROM generate_series(1, 800) i;
ALTER TABLE shop.orders_rest ADD CONSTRAINT later CHECK (total < 100000) NOT VALID;
CREATE INDEX orders_total ON shop.orders (total) WHERE total > 5;
CREATE INDEX customers_lower ON shop.customers (lower(name), score DESC NULLS LAST);
CREATE TABLE "Odd ""name"."Select" ("from" int, "Größe" text); INSERT INTO "Odd ""name"."Select" VALUES (1, 'x'), (1, 'x'), (NULL, NULL);
CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES; CREATE UNLOGGED TABLE fast (a int); INSERT INTO fast VALUES (1);
CREATE TABLE parent (a int); CREATE TABLE child (b int) INHERITS (parent); INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2, 3);
CREATE VIEW shop.paid AS SELECT c.name, sum(o.total) AS total FROM shop.customers c JOIN shop.orders o ON o.customer = c.id WHERE o.state = 'paid' GROUP BY c.name;
CREATE VIEW shop.dates WITH (security_barrier) AS SELECT extract(year FROM at) AS year, id FROM shop.orders;
CREATE MATERIALIZED VIEW shop.totals AS SELECT count(*) FROM shop.orders; CREATE UNIQUE INDEX ON shop.totals (count);
CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.score := coalesce(NEW.score, 0); RETURN NEW; END $$;
CREATE FUNCTION shop.twice(a int DEFAULT 2, OUT b int) LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog AS 'SELECT a * 2';
CREATE PROCEDURE shop.noop() LANGUAGE sql AS 'SELECT 1'; CREATE AGGREGATE shop.total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON shop.customers FOR EACH ROW EXECUTE FUNCTION shop.touch();
CREATE TRIGGER off AFTER INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.touch(); ALTER TABLE shop.customers DISABLE TRIGGER touch;
CREATE RULE quiet AS ON DELETE TO "Odd ""name"."Select" DO INSTEAD NOTHING;
ALTER TABLE shop.customers ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON shop.customers FOR SELECT USING (name = current_user);
CREATE SEQUENCE shop.numbers START 100 INCREMENT 5 CACHE 10; SELECT nextval('shop.numbers'); CREATE SEQUENCE shop.unused;
CREATE STATISTICS shop.both (dependencies) ON name, score FROM shop.customers; COMMENT ON TABLE shop.orders IS 'what was ordered';
CREATE TEXT SEARCH CONFIGURATION shop.english (COPY = pg_catalog.english); CREATE COLLATION shop.german (provider = libc, locale = 'C');
CREATE OPERATOR shop.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);
SELECT lo_from_bytea(4711, decode(repeat('00ff10', 3000), 'hex')); SELECT lo_from_bytea(4712, '\\x'); SELECT lo_put(lo_create(4713), 9000, '\\x01');
`;
