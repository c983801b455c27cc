SELECT string_agg(j, chr(30)) FILTER (WHERE n < $4::bigint), count(*), max(k0) FILTER (WHERE n = $4::bigint - 1), (SELECT count(*)
  FROM (SELECT 1
    FROM "products" AS t1
    WHERE (t1."state" = $5::text
      AND (t1."released_at" IS NULL
        OR $2::timestamptz >= t1."released_at")
      AND t1."kind" = $6::text)
    LIMIT 10001) AS capped)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"id":"', t0."id", '"}') AS j, (t0."id")::text AS k0
    FROM "products" AS t0
    WHERE (t0."state" = $1::text
      AND (t0."released_at" IS NULL
        OR $2::timestamptz >= t0."released_at")
      AND t0."kind" = $3::text)
    ORDER BY t0."id"
    LIMIT $4::bigint) AS page) AS numbered
