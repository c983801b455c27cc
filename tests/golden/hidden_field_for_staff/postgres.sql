SELECT string_agg(j, chr(30)) FILTER (WHERE n < $2::bigint), count(*), max(k0) FILTER (WHERE n = $2::bigint - 1), max(k1) FILTER (WHERE n = $2::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), ',"cost":{"amount":', t0."cost", ',"currency":"EUR"}}') AS j, (t0."cost")::text AS k0, (t0."id")::text AS k1
    FROM "products" AS t0
    WHERE t0."cost" < $1::bigint
    ORDER BY t0."cost" DESC, t0."id" DESC
    LIMIT $2::bigint) AS page) AS numbered
