SELECT string_agg(j, chr(30)) FILTER (WHERE n < $8::bigint), count(*), max(k0) FILTER (WHERE n = $8::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), ',"reviews":', (SELECT concat('[', string_agg(j, ','), ']')
        FROM (SELECT concat('{"text":', to_json(t1."text"), '}') AS j
          FROM "reviews" AS t1
          WHERE t1."product_id" = t0."id"
          AND t1."hidden" <> $1::boolean
          ORDER BY t1."id"
          LIMIT $2::bigint) AS rows), ',"related":', (SELECT concat('[', string_agg(j, ','), ']')
        FROM (SELECT concat('{"name":', to_json(t3."name"), '}') AS j
          FROM "products_related" AS t2
          JOIN "products" AS t3 ON t3."id" = t2."other_product_id"
          WHERE t2."product_id" = t0."id"
          AND (t3."state" = $3::text
            AND (t3."released_at" IS NULL
              OR $4::timestamptz >= t3."released_at"))
          ORDER BY t3."id"
          LIMIT $5::bigint) AS rows), '}') AS j, (t0."id")::text AS k0
    FROM "products" AS t0
    WHERE (t0."state" = $6::text
      AND (t0."released_at" IS NULL
        OR $4::timestamptz >= t0."released_at")
      AND t0."id" = ANY($7::uuid[]))
    ORDER BY t0."id"
    LIMIT $8::bigint) AS page) AS numbered
