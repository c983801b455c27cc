SELECT string_agg(j, chr(30)) FILTER (WHERE n < $2::bigint), count(*), max(k0) FILTER (WHERE n = $2::bigint - 1), (SELECT count(*)
  FROM "products" AS t1
  WHERE t1."state" = $3::text)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"id":"', t0."id", '"}') AS j, (t0."id")::text AS k0
    FROM "products" AS t0
    WHERE t0."state" = $1::text
    ORDER BY t0."id"
    LIMIT $2::bigint) AS page) AS numbered
