SELECT string_agg(j, chr(30)) FILTER (WHERE n < $1::bigint), count(*), max(k0) FILTER (WHERE n = $1::bigint - 1), max(k1) FILTER (WHERE n = $1::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), ',"email":', to_json(t0."email"), ',"roles":', t0."roles", ',"born":', CASE WHEN t0."born" IS NULL THEN 'null' ELSE concat('"', t0."born", '"') END, '}') AS j, (t0."name")::text AS k0, (t0."id")::text AS k1
    FROM "customers" AS t0
    ORDER BY t0."name" DESC, t0."id" DESC
    LIMIT $1::bigint) AS page) AS numbered
