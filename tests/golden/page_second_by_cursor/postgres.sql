SELECT string_agg(j, chr(30)) FILTER (WHERE n < $5::bigint), count(*), max(k0) FILTER (WHERE n = $5::bigint - 1), max(k1) FILTER (WHERE n = $5::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), ',"price":{"amount":', t0."price", ',"currency":"EUR"}}') AS j, (t0."price")::text AS k0, (t0."id")::text AS k1
    FROM "products" AS t0
    WHERE (t0."state" = $1::text
      AND (t0."released_at" IS NULL
        OR $2::timestamptz >= t0."released_at")
      AND (t0."price", t0."id") < ($3::text::bigint, $4::text::uuid))
    ORDER BY t0."price" DESC, t0."id" DESC
    LIMIT $5::bigint) AS page) AS numbered
