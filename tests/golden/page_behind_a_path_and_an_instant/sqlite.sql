SELECT concat('{"number":', t0."number", ',"placed_at":"', t0."placed_at", '","customer":{"city":', json_quote(t2."city"), '}}'), (SELECT t1."city"
  FROM "customers" AS t1
  WHERE t1."id" = t0."customer_id"), t0."placed_at", t0."id"
FROM "orders" AS t0
LEFT JOIN "customers" AS t2 ON t2."id" = t0."customer_id"
WHERE ((SELECT t1."city"
    FROM "customers" AS t1
    WHERE t1."id" = t0."customer_id") > ?1
  OR (SELECT t1."city"
    FROM "customers" AS t1
    WHERE t1."id" = t0."customer_id") IS NULL
  OR ((SELECT t1."city"
      FROM "customers" AS t1
      WHERE t1."id" = t0."customer_id") = ?1
    AND t0."placed_at" < ?2)
  OR ((SELECT t1."city"
      FROM "customers" AS t1
      WHERE t1."id" = t0."customer_id") = ?1
    AND t0."placed_at" = ?2
    AND t0."id" < ?3))
ORDER BY (SELECT t1."city"
  FROM "customers" AS t1
  WHERE t1."id" = t0."customer_id") NULLS LAST, t0."placed_at" DESC, t0."id" DESC
LIMIT ?4
