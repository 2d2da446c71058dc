import { describe, expect, test } from '@jest/globals';
import { namesSchema } from '../../../adapters/postgres/named-schema.ts';

describe('namesSchema()', () => {
  const found = (sql: string) => namesSchema([{ name: '0001', sql }], 'articles')?.words;

  test.each([
    ['CREATE TABLE public.t (n int)', 'public.t'],
    ['CREATE TABLE "public" . "t" (n int)', '"public" . "t'],
    [`DO $$ BEGIN EXECUTE 'INSERT INTO public.t VALUES (1)'; END $$`, 'public.t'],
    ['CREATE FUNCTION f() RETURNS int SET search_path = public AS $$ SELECT 1 $$', 'search_path = public'],
    [`SET LOCAL search_path TO pg_catalog, 'public'`, `search_path TO pg_catalog, 'public'`],
    ['ALTER FUNCTION f() SET search_path TO "$user", "public"', 'search_path TO "$user", "public"'],
    [`SELECT set_config('search_path', 'x, public', true)`, `'search_path', 'x, public`],
    [
      'CREATE FUNCTION f() RETURNS int SET search_path = articles AS $$ SELECT 1 $$',
      'search_path = articles',
    ],
    ['CREATE TABLE t (n int); CREATE INDEX ON articles.t (n)', 'articles.t'],
    ['CREATE TABLE articles (n int); INSERT INTO articles.t SELECT 1', 'articles.t'],
    ['CREATE TABLE articles (n int); CREATE INDEX ON articles.articles (n)', 'articles.articles'],
    [
      'CREATE TABLE articles (n int); CREATE VIEW v AS (SELECT * FROM articles.articles)',
      'articles.articles',
    ],
    ["CREATE TABLE articles (n int); COMMENT ON TABLE articles IS 'it'; SELECT 1 FROM public.t", 'public.t'],
    [`SELECT E'it\\' -- '; DROP TABLE public.t`, 'public.t'],
    ['CREATE TABLE "a--b" (n int); DROP TABLE public.t', 'public.t'],
    ['CREATE TABLE "a--b" (n int), public.t', 'public.t'],
  ])('%s', (sql, words) => {
    expect(found(sql)).toBe(words);
  });

  test.each([
    '-- public.t\n/* public.t */ CREATE TABLE t (n int)',
    `COMMENT ON TABLE t IS 'once in public.t, and it''s gone'`,
    'CREATE FUNCTION f() RETURNS int SET search_path FROM CURRENT AS $$ SELECT 1 $$',
    'CREATE FUNCTION f() RETURNS int SET search_path = pg_catalog, pg_temp AS $$ SELECT is_public FROM t $$',
    'CREATE TABLE articles (n int, CHECK (articles.n > 0))',
    'CREATE TABLE IF NOT EXISTS "articles" (n int); CREATE VIEW v AS SELECT articles.n FROM articles',
    'CREATE TABLE articles (n int); CREATE VIEW v AS SELECT 1 FROM t JOIN articles ON articles.n = t.n',
    'CREATE TABLE articles (at date); CREATE VIEW v AS SELECT extract(day FROM articles.at) FROM articles',
    'CREATE TABLE articles (n int); CREATE VIEW v AS SELECT FROM articles WHERE 1 IS DISTINCT FROM articles.n',
    'CREATE VIEW v AS SELECT articles.n FROM t AS articles',
    'CREATE TABLE t_public (n int); CREATE VIEW v AS SELECT t_public.n FROM t_public',
    'CREATE TABLE t (old_articles int); SELECT old_articles.n FROM old_articles',
  ])('is not in: %s', (sql) => {
    expect(found(sql)).toBeUndefined();
  });
});
