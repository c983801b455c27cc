SELECT string_agg(j, chr(30)) FILTER (WHERE n < $3::bigint), count(*), max(k0) FILTER (WHERE n = $3::bigint - 1), max(k1) FILTER (WHERE n = $3::bigint - 1), max(k2) FILTER (WHERE n = $3::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), ',"review_count":', (SELECT count(*)
        FROM "reviews" AS t2
        WHERE t2."product_id" = t0."id"), ',"stock_value":{"amount":', (t0."price" * t0."stock"), ',"currency":"EUR"}}') AS j, ((SELECT count(*)
        FROM "reviews" AS t1
        WHERE t1."product_id" = t0."id"))::text AS k0, ((t0."price" * t0."stock"))::text AS k1, (t0."id")::text AS k2
    FROM "products" AS t0
    WHERE (t0."state" = $1::text
      AND (t0."released_at" IS NULL
        OR $2::timestamptz >= t0."released_at"))
    ORDER BY (SELECT count(*)
      FROM "reviews" AS t1
      WHERE t1."product_id" = t0."id") DESC, (t0."price" * t0."stock") DESC, t0."id" DESC
    LIMIT $3::bigint) AS page) AS numbered
